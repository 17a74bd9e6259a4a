"""From played episodes and verdicts to what the buffer keeps."""

import orjson
import pytest

from skyscale.episodes.finishing import judged_group
from skyscale.errors import Invalid
from skyscale.wire.batches import GroupFinish, GroupPush
from skyscale.wire.episodes import Outcome, Verdict


def played(**changes: object) -> GroupFinish:
    episode = {"code": "x", "text": "```x```", "completion_ids": [5, 6], "logprobs": [-0.5, -1.0], "versions": [3, 4]}
    return GroupFinish.model_validate({"prompt_ids": [1], "episodes": [episode, episode | changes]})


def verdict(outcome: Outcome = Outcome.SCORED, reward: float = 0.25) -> Verdict:
    return Verdict(
        outcome=outcome, reward=reward, done=True, passed_tests=1, total_tests=4, tests=[], stdout="", stderr="",
        exit_code=0, duration_ms=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("is_truncated", "judged", "recorded"),
    [
        (False, Outcome.SCORED, Outcome.SCORED),
        (True, Outcome.SCORED, Outcome.TRUNCATED),
        (True, Outcome.INFRASTRUCTURE_FAILURE, Outcome.INFRASTRUCTURE_FAILURE),
        (False, Outcome.INFRASTRUCTURE_FAILURE, Outcome.INFRASTRUCTURE_FAILURE),
    ],
)
def test_only_a_scored_episode_becomes_truncated(is_truncated: bool, judged: Outcome, recorded: Outcome):
    group = judged_group("rl-1", "grp-1", "p-1", played(is_truncated=is_truncated), [verdict(), verdict(judged)])
    record = group.push.trajectories[1]
    assert (record.episode_id, record.outcome, record.reward) == ("grp-1.1", recorded, 0.25)


def test_what_is_kept_is_the_group_with_its_rewards_and_without_broken_episodes():
    verdicts = [verdict(reward=1.0), verdict(Outcome.INFRASTRUCTURE_FAILURE, 0.0)]
    kept = GroupPush.model_validate_json(judged_group("rl-1", "grp-1", "p-1", played(), verdicts).payload)
    (trajectory,) = kept.trajectories
    assert (kept.run_id, kept.group_id, kept.problem_id, kept.prompt_ids) == ("rl-1", "grp-1", "p-1", [1])
    assert (trajectory.reward, trajectory.completion_ids, trajectory.versions) == (1.0, [5, 6], [3, 4])


def test_a_logprob_that_is_not_finite_is_refused():
    body = orjson.loads(played().model_dump_json())
    broken = GroupFinish.model_validate_json(orjson.dumps(body).replace(b"-1.0", b"-1e999"))
    with pytest.raises(Invalid, match="logprobs"):
        judged_group("rl-1", "grp-1", "p-1", broken, [verdict(), verdict()])


def test_a_token_id_that_cannot_be_stored_is_refused():
    with pytest.raises(Invalid, match="token id"):
        judged_group("rl-1", "grp-1", "p-1", played(completion_ids=[5, 2**70]), [verdict(), verdict()])
