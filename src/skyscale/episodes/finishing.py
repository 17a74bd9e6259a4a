"""From played episodes and their verdicts to the group that the buffer keeps. Pure.

The reward is the verdict's: it never passes through the process that wrote the code. The one change is that a scored
episode whose completion hit the token limit is `truncated`, which the judge cannot know.
"""

from collections.abc import Sequence

import orjson

from skyscale.buffer.parsing import ParsedGroup, checked
from skyscale.errors import Invalid
from skyscale.wire.batches import GroupFinish, GroupPush, PlayedEpisode, Trajectory
from skyscale.wire.episodes import Outcome, Verdict


def judged_group(
    run_id: str, group_id: str, problem_id: str, played: GroupFinish, verdicts: Sequence[Verdict]
) -> ParsedGroup:
    """The group with its rewards, checked, and the JSON to keep of it; one verdict per episode, in order.

    Raises:
        Invalid: a log-probability is not finite, or a version or token id is out of range.
    """
    pairs = enumerate(zip(played.episodes, verdicts, strict=True))
    trajectories = [_trajectory(f"{group_id}.{index}", *pair) for index, pair in pairs]
    # Every field was validated as part of `played`, so it is not validated again.
    group = GroupPush.model_construct(
        run_id=run_id, group_id=group_id, problem_id=problem_id, prompt_ids=played.prompt_ids,
        trajectories=trajectories,
    )  # fmt: skip
    payload = vars(group) | {"trajectories": [vars(trajectory) for trajectory in trajectories]}
    try:
        raw = orjson.dumps(payload)
    except TypeError as error:  # validated as integers, of which JSON has larger ones than orjson
        raise Invalid("prompt_ids, completion_ids: a token id is too large to be stored") from error
    return checked(group, raw)


def _trajectory(episode_id: str, episode: PlayedEpisode, verdict: Verdict) -> Trajectory:
    is_cut = episode.is_truncated and verdict.outcome is Outcome.SCORED
    return Trajectory.model_construct(
        episode_id=episode_id,
        code=episode.code,
        text=episode.text,
        completion_ids=episode.completion_ids,
        logprobs=episode.logprobs,
        versions=episode.versions,
        reward=verdict.reward,
        outcome=Outcome.TRUNCATED if is_cut else verdict.outcome,
        passed_tests=verdict.passed_tests,
        total_tests=verdict.total_tests,
    )
