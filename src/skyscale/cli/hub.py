"""A folder becomes a model repository on the Hugging Face Hub, through its own client, which is loaded when needed."""

from __future__ import annotations

from pathlib import Path

from skyscale.errors import Forbidden, Invalid, NotFound, SkyscaleError, Unauthorized, Unavailable

_MEANINGS = {401: Unauthorized, 403: Forbidden, 404: NotFound}


def push(folder: Path, repo_id: str, *, message: str, private: bool) -> str:
    """Upload every file as one commit to a model repository, which is made if it is not there; its address.

    Raises Unauthorized, Forbidden or Invalid with the Hub's own words, Unavailable when it does not answer.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            HTTPError,  # pyright: ignore[reportPrivateImportUsage] - of whichever HTTP library this version uses
            LocalTokenNotFoundError,
        )
    except ImportError as error:
        raise Invalid(
            "the Hugging Face Hub needs the package huggingface_hub",
            code="extra_missing",
            hint="pip install 'skyscale[huggingface]'",
        ) from error
    api = HfApi()
    try:
        name = api.create_repo(repo_id, private=private, exist_ok=True, repo_type="model").repo_id
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message, repo_type="model")
    except LocalTokenNotFoundError as error:
        raise Unauthorized("the Hub wants to know who you are", hint="`hf auth login`, or set HF_TOKEN.") from error
    except HFValidationError as error:
        raise Invalid(f"REPO {repo_id!r}: {error}", hint="Write `name` or `organisation/name`.") from error
    except HfHubHTTPError as error:
        words = error.server_message or str(error).strip().partition("\n")[0]
        raise _refusal(error.response.status_code, words) from error
    except HTTPError as error:
        raise Unavailable(f"the Hub does not answer: {error}", hint="Check the network, and HF_ENDPOINT.") from error
    return f"{api.endpoint}/{name}"


def _refusal(status: int, words: str) -> SkyscaleError:
    meaning = _MEANINGS.get(status, Unavailable if status >= 500 else Invalid)
    return meaning(f"the Hub answered {status}: {words}", hint="Check the repository and HF_TOKEN.")
