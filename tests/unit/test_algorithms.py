"""The algorithm of a run: presets, overrides, the resolved form, and what cannot be meant."""

import json

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from skyscale.cli.main import cli
from skyscale.errors import Invalid
from skyscale.runs import resolve
from skyscale.wire.algorithms import PRESETS, Algorithm, contradictions
from skyscale.wire.runs import RunCreate, RunSpec


def _spec(**algorithm: object) -> RunSpec:
    return resolve.resolve(RunCreate.model_validate({"algorithm": algorithm}), "rl-test")


def test_an_empty_request_is_the_preset_skyscale():
    default = Algorithm()
    assert default.name == "skyscale"
    assert (default.advantage, default.aggregation, default.ratio, default.clip) == (
        "mean", "token_mean", "token", "surrogate",
    )  # fmt: skip
    assert (default.clip_low, default.clip_high, default.kl_coefficient) == (0.2, 0.28, 0.0)
    assert (default.importance_cap, default.importance_low, default.importance_high) == (2.0, 0.0, 5.0)
    assert default.clip_engine
    assert default.dynamic_sampling


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_resolved_completely_and_reads_back_as_itself(name):
    spec = _spec(name=name)
    resolve.check(spec, {"local"})
    assert contradictions(spec.algorithm) == []
    printed = json.loads(spec.model_dump_json())["algorithm"]
    assert printed["learning_rate"] == 5e-4
    assert {field: printed[field] for field in PRESETS[name].values} == PRESETS[name].values
    assert Algorithm.model_validate(printed) == spec.algorithm


@pytest.mark.parametrize("name", PRESETS)
def test_the_engine_is_corrected_for_in_every_preset(name):
    found = Algorithm(name=name)
    assert (found.correction, found.proximal) == ("token", "recomputed")


def test_overrides_win_over_the_preset():
    found = Algorithm.model_validate({"name": "dapo", "overlong": "mask", "clip_high": 0.4})
    assert (found.advantage, found.overlong, found.clip_high) == ("mean_std", "mask", 0.4)


def test_the_clip_counts_the_engines_age_where_there_is_such_a_clip():
    assert {name: Algorithm(name=name).clip_engine for name in PRESETS} == {
        "skyscale": True, "grpo": True, "dr_grpo": True, "dapo": True,
        "gspo": False, "cispo": False, "decoupled_ppo": False,
    }  # fmt: skip
    assert not Algorithm(proximal="engine", correction="none").clip_engine
    assert contradictions(Algorithm(correction="none", clip_engine=True))


def test_bounds_of_the_sequence_mask_follow_its_statistic_unless_given():
    assert Algorithm(sequence_mask="geometric").sequence_mask_low == 0.99
    assert Algorithm(sequence_mask="product").sequence_mask_high == 2.0
    assert Algorithm(sequence_mask="geometric", sequence_mask_low=0.9).sequence_mask_low == 0.9


@pytest.mark.parametrize(
    ("algorithm", "advice"),
    [
        ({"minibatches": 17}, "lower the one or raise the other"),
        ({"name": "decoupled_ppo", "groups_per_step": 2}, r"minibatches \(4\)"),
        ({"proximal": "engine"}, "set correction to 'none'"),
        ({"name": "gspo", "clip": "weight"}, "set clip to 'surrogate'"),
        ({"ratio": "sequence"}, "set algorithm.aggregation to 'sequence_mean'"),
        ({"name": "dapo", "overlong_penalty": 0}, "set overlong to 'score'"),
    ],
)
def test_contradictions_are_refused_with_what_to_do(algorithm: dict[str, object], advice: str):
    with pytest.raises(Invalid, match=advice) as caught:
        resolve.check(_spec(**algorithm), {"local"})
    assert caught.value.code == "algorithm_contradiction"


@pytest.mark.parametrize("algorithm", [{"name": "ppo"}, {"kl": 1}, {"clip_low": 1.1}, "dapo", {"name": ["dapo"]}])
def test_what_is_not_an_algorithm_is_refused(algorithm: object):
    with pytest.raises(ValidationError):
        RunCreate.model_validate({"algorithm": algorithm})


def test_the_command_line_lists_and_shows_presets():
    listed = CliRunner().invoke(cli, ["algorithms", "list"])
    assert listed.exit_code == 0
    assert all(name in listed.output for name in PRESETS)
    shown = CliRunner().invoke(cli, ["algorithms", "show", "dapo"])
    assert "2503.14476" in shown.output
    assert 'overlong             "penalty"   (default: "score")' in shown.output
    as_json = CliRunner().invoke(cli, ["algorithms", "show", "gspo", "--json"])
    assert json.loads(as_json.output) == Algorithm(name="gspo").model_dump(mode="json")
    unknown = CliRunner().invoke(cli, ["algorithms", "show", "ppo"])
    assert unknown.exit_code == 2
    assert "there are skyscale, grpo" in unknown.output
