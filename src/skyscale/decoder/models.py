"""How a model's name becomes a folder: the starter, a local folder, or a Hugging Face repository.

Only configuration, tokenizer and safetensors files are fetched from the Hub.
"""

from pathlib import Path

from skyscale.errors import Invalid

STARTER = "skyscale/starter"
FETCHED = ["*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model"]


def resolve_model(name_or_path: str) -> Path:
    """The local folder of a model; a Hugging Face id is downloaded (or found in its cache) first.

    Raises:
        Invalid: there is no such folder and the Hub does not have it either.
    """
    folder = Path(__file__).parent.parent / "starter" / "model" if name_or_path == STARTER else Path(name_or_path)
    if (folder / "config.json").is_file():
        return folder
    if name_or_path == STARTER or folder.exists() or not _is_hub_id(name_or_path):
        raise Invalid(f"{folder} is not a model folder: it has no config.json", code="model_not_found")
    return _download(name_or_path)


def _is_hub_id(name: str) -> bool:
    parts = name.split("/")
    return len(parts) <= 2 and all(part and not part.startswith((".", "~")) for part in parts)


def _download(name: str) -> Path:
    # Imported here: a local model needs no network client, and importing it takes a third of a second.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FETCHED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as e:
        raise Invalid(
            f"no model {name!r}: not a local folder, and the Hugging Face Hub says: {e}",
            code="model_not_found",
            hint="Give skyscale/starter, a local folder with config.json, or a Hugging Face id that you can reach.",
        ) from e
