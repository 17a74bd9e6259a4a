"""The card of a checkpoint: facts, readable by the Hub, without paths."""

from datetime import UTC, datetime

import yaml

from skyscale.runs.model_card import CardFacts, model_card, shown
from skyscale.wire.base import utc_now
from skyscale.wire.runs import EvaluationResult, PassAtK, RunSpec
from tests.unit.test_buffer_rules import spec


def evaluation(version: int, reward: float) -> EvaluationResult:
    passes = [PassAtK(k=1, value=reward, low=reward - 0.1, high=reward + 0.1, num_problems=9)]
    return EvaluationResult(
        version=version, reward=reward, num_problems=9, num_episodes=36, finished_at=utc_now(), pass_at=passes
    )


def card(run: RunSpec, *evaluations: EvaluationResult) -> str:
    return model_card(
        CardFacts(
            spec=run,
            version=5,
            newest_version=7,
            published_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            train_reward=0.625,
            evaluations=evaluations,
        )
    )


def test_a_card_tells_where_it_comes_from_and_what_it_gained() -> None:
    run = spec().model_copy(update={"base_model": "org/model-1"})
    text = card(run, evaluation(0, 0.25), evaluation(5, 0.75), evaluation(7, 0.5))
    head = yaml.safe_load(text.split("---")[1])
    assert head["base_model"] == "org/model-1" and "skyscale" in head["tags"] and head["library_name"] == "transformers"
    assert "| before | 0 | 9 | 0.2500 | k=1: 0.250 (0.150 to 0.350) |" in text
    assert "| after | 5 | 9 | 0.7500 | k=1: 0.750 (0.650 to 0.850) |" in text
    assert "| policy version | 5 of 7 |" in text and "2026-01-02 03:04 UTC" in text and "0.6250" in text
    assert '"clip_high": 0.28' in text


def test_a_card_names_no_path_of_the_machine() -> None:
    paths = {"base_model": "/home/ann/models/tiny `x|y`", "problem_set": "/srv/data/mine.jsonl"}
    text = card(spec().model_copy(update=paths), evaluation(0, 0.25))
    assert "/home" not in text and "/srv" not in text and "ann" not in text
    assert "`mine.jsonl`" in text and "`tiny x y `" in text and "base_model:" not in text
    assert "| after | not evaluated | | | |" in text
    assert "No held-out evaluation" in card(spec())


def test_names_are_shown_without_what_would_break_a_table() -> None:
    assert shown("skyscale/starter") == "`skyscale/starter`" and shown("embedded") == "`embedded`"
    assert shown("~/a/b/") == "`b`" and shown("C:\\data\\set.jsonl") == "`set.jsonl`"
