"""Job tokens and what principals may do."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyscale.auth.principal import ANONYMOUS, OPERATOR, Principal, require_job, require_operator, require_reader
from skyscale.auth.principal import require_role as require
from skyscale.auth.tokens import JobTokens, load_secret
from skyscale.errors import Forbidden, Unauthorized
from skyscale.wire.jobs import JobRole

TOKENS = JobTokens(b"s" * 32)
TOKEN = TOKENS.issue("job-worker-a-0", "rl-a", JobRole.WORKER, 2)
WORKER = Principal("job", "rl-a", "job-worker-a-0", JobRole.WORKER, 2)


def test_a_token_says_whose_it_is() -> None:
    assert TOKENS.verify(TOKEN) == WORKER
    custom = TOKENS.issue("job-x", None, JobRole.CUSTOM, 1)
    assert TOKENS.verify(custom) == Principal("job", None, "job-x", JobRole.CUSTOM, 1)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_changed_character_makes_another_valid_token(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert changed == TOKEN or TOKENS.verify(changed) is None


@given(st.text(max_size=200))
def test_any_text_is_no_token(text: str) -> None:
    assert TOKENS.verify(text) is None
    assert TOKENS.verify(f"sjt1.{text}.{text}") is None


def test_another_secret_or_another_claim_is_refused() -> None:
    assert JobTokens(b"t" * 32).verify(TOKEN) is None
    _, _, signature = TOKEN.split(".")
    forged = base64.urlsafe_b64encode(b'["job-trainer-a-0","rl-a","trainer",2]').decode().rstrip("=")
    assert TOKENS.verify(f"sjt1.{forged}.{signature}") is None
    assert TOKENS.verify("x" * 10**6) is None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        JobTokens(b"short")


def test_the_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    secret = load_secret(tmp_path / "secrets")
    assert load_secret(tmp_path / "secrets") == secret
    (path,) = (tmp_path / "secrets").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(secret) == 32


def test_operators_may_do_everything() -> None:
    require_operator(OPERATOR)
    require(OPERATOR, "rl-a", {JobRole.TRAINER})
    require_job(OPERATOR, "job-x")
    require_reader(OPERATOR, None)


def test_the_anonymous_may_read_and_change_nothing() -> None:
    require_reader(ANONYMOUS, "rl-a")
    with pytest.raises(Unauthorized):
        require_operator(ANONYMOUS)
    with pytest.raises(Unauthorized):
        require(ANONYMOUS, "rl-a", set(JobRole))
    with pytest.raises(Unauthorized):
        require_job(ANONYMOUS, "job-x")


def test_a_job_may_do_what_its_role_needs_for_its_own_run_only() -> None:
    require(WORKER, "rl-a", {JobRole.WORKER})
    require_job(WORKER, "job-worker-a-0")
    require_reader(WORKER, "rl-a")
    for run_id, roles in (("rl-b", set(JobRole)), (None, set(JobRole)), ("rl-a", {JobRole.TRAINER})):
        with pytest.raises(Forbidden):
            require(WORKER, run_id, roles)
    with pytest.raises(Forbidden):
        require_job(WORKER, "job-worker-a-1")
    for run_id in ("rl-b", None):
        with pytest.raises(Forbidden):
            require_reader(WORKER, run_id)
    with pytest.raises(Forbidden):
        require_operator(WORKER)
