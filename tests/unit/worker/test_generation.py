"""Reading the policy server's reply, in both of its forms, and refusing what cannot be trained on."""

import orjson
import pytest

from skyscale.errors import ProtocolError
from skyscale.wire.episodes import GroupTicket
from skyscale.worker.generation import chat_call, read_reply
from skyscale.worker.meter import Meter

TICKET = GroupTicket(
    group_id="grp-1", problem_id="p-1", messages=[{"role": "user", "content": "hi"}], group_size=2, purpose="train",
    version=3, seed=11, temperature=0.7, max_new_tokens=5, expires_in_s=60,
)  # fmt: skip


def choice(index: int, **changes: object) -> dict[str, object]:
    return {
        "index": index,
        "message": {"content": f"text {index}"},
        "token_ids": [1, 2],
        "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]},
        "versions": [3, 4],
        "finish_reason": "stop",
        **changes,
    }


def reply(*choices: dict[str, object]) -> bytes:
    return orjson.dumps({"prompt_token_ids": [9, 8], "policy_version": 4, "choices": choices})


def test_the_request_asks_for_all_completions_with_tokens_at_once():
    call = chat_call(TICKET, "skyscale/starter", min_version=3)
    assert orjson.loads(call.body) == {
        "model": "skyscale/starter", "messages": [{"role": "user", "content": "hi"}], "n": 2, "temperature": 0.7,
        "max_tokens": 5, "seed": 11, "return_token_ids": True, "min_policy_version": 3,
    }  # fmt: skip


def test_choices_are_ordered_by_index_and_carry_tokens_logprobs_and_versions():
    first, second = read_reply(reply(choice(1), choice(0, finish_reason="length"))).completions
    assert (first.text, first.is_truncated, second.text, second.is_truncated) == ("text 0", True, "text 1", False)
    assert (first.token_ids, first.logprobs, first.versions) == ([1, 2], [-0.5, -1.5], [3, 4])


def test_flat_logprobs_are_preferred_and_versions_default_to_the_replys():
    generation = read_reply(reply(choice(0, token_logprobs=[-2.0, -3.0], logprobs=None, versions=None)))
    assert generation.prompt_ids == [9, 8]
    assert generation.completions[0].logprobs == [-2.0, -3.0]
    assert generation.completions[0].versions == [4, 4]


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"{}",
        reply(choice(0), choice(1, token_ids=[1])),
        reply(choice(0), choice(1, logprobs=None)),
        reply(choice(0)),
    ],
    ids=["not json", "no choices", "a token short", "no logprobs", "a choice short"],
)
def test_a_malformed_reply_is_a_protocol_error(content: bytes):
    with pytest.raises(ProtocolError):
        chat_call(TICKET, "m", min_version=0).parse(content)


def test_the_meter_reports_shares_of_play_time_and_starts_over():
    meter = Meter(since=100.0)
    meter.sampled(3.0)
    meter.finished(trajectories=8, sandbox_s=1.0)
    assert meter.report(102.0, 5) == {
        "groups_in_flight": 5.0, "trajectories_per_s": 4.0, "policy_wait_share": 0.75, "sandbox_wait_share": 0.25,
        "groups_abandoned": 0.0,
    }  # fmt: skip
    assert meter.report(104.0, 0)["trajectories_per_s"] == 0.0
