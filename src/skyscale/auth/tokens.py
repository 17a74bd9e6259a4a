"""Job tokens: signed, not stored. Whoever holds the control plane's secret can tell a true one from a forged one.

A token is `sjt1.<payload>.<signature>`: base64url of the JSON claims, and of their HMAC-SHA256. It says which start
(attempt) of which job this is, so that a job that was given up cannot speak for its successor. It does not expire by
the clock: it is worth as much as its job, which the receiving service looks up.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from skyscale.auth.principal import Principal
from skyscale.wire.jobs import JobRole

PREFIX = "sjt1"
SECRET_BYTES = 32
MAX_TOKEN_CHARS = 2000
"""Longer ones are refused before any work is done on them."""


class JobTokens:
    """Issues and verifies the tokens of jobs."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"the secret must have at least {SECRET_BYTES} bytes, not {len(secret)}")
        self._secret = secret

    def issue(self, job_id: str, run_id: str | None, role: JobRole, attempt: int) -> str:
        """A token for one start of one job; the same arguments give the same token."""
        claims = json.dumps([job_id, run_id, role.value, attempt], separators=(",", ":")).encode()
        payload = _encode(claims)
        return f"{PREFIX}.{payload}.{self._sign(payload)}"

    def verify(self, token: str) -> Principal | None:
        """The job that this token was issued to, or None if it is not one of ours."""
        parts = token.split(".") if len(token) <= MAX_TOKEN_CHARS and token.isascii() else []
        if len(parts) != 3 or parts[0] != PREFIX:
            return None
        if not hmac.compare_digest(self._sign(parts[1]), parts[2]):
            return None
        job_id, run_id, role, attempt = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
        return Principal("job", run_id, job_id, JobRole(role), attempt)

    @property
    def owner(self) -> str:
        """12 hex digits that tell whoever holds this secret from others; says nothing about the secret."""
        return hmac.digest(self._secret, b"skyscale owner", hashlib.sha256).hex()[:12]

    def _sign(self, payload: str) -> str:
        return _encode(hmac.digest(self._secret, f"{PREFIX}.{payload}".encode(), hashlib.sha256))


def load_secret(folder: Path) -> bytes:
    """The signing secret kept in this folder, made (mode 0600) if there is none; safe against a race of two starts."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "job-token-key"
    if not path.exists():
        draft = folder / f".job-token-key-{os.getpid()}-{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(SECRET_BYTES))
        try:
            os.link(draft, path)  # fails if another process was first: then theirs counts
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return bytes.fromhex(path.read_text().strip())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
