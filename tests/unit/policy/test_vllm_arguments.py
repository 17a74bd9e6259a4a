"""What may be told to vLLM, and what may not."""

import pytest

from skyscale.errors import Invalid
from skyscale.policy.vllm_arguments import with_given
from skyscale.settings import VllmSettings

OURS = {"model": "m", "logprobs_mode": "processed_logprobs", "max_model_len": -1}


def test_what_is_given_joins_what_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYSCALE_VLLM_ARGUMENTS", '{"tensor_parallel_size": 2, "max_model_len": 4096}')
    assert with_given(OURS, VllmSettings().arguments) == OURS | {"tensor_parallel_size": 2, "max_model_len": 4096}
    monkeypatch.delenv("SKYSCALE_VLLM_ARGUMENTS")
    assert with_given(OURS, VllmSettings().arguments) == OURS


def test_what_the_contract_rests_on_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="must not set logprobs_mode, model:"):
        with_given(OURS, {"model": "n", "logprobs_mode": "raw_logprobs", "seed": 3})
