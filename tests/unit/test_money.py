"""What runs cost, reckoned: sums that never fall, caps that hold, estimates that say what they rest on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyscale.errors import Invalid
from skyscale.money import rules
from skyscale.money.charges import advance, charge, new_tokens
from skyscale.money.estimate import estimate
from skyscale.money.prices import LIST, Prices
from skyscale.money.queries import CostRecord, JobSpan, Past
from skyscale.money.rules import STOP_S, TICK_S, Verdict
from skyscale.runs.resolve import resolve
from skyscale.wire.jobs import JobRole, JobStatus
from skyscale.wire.runs import RunCreate, RunSpec

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUMS = ("gpu_s", "cpu_s", "sandbox_s", "tokens", "usd")


def spec(**changes: object) -> RunSpec:
    return resolve(RunCreate.model_validate(changes), "rl-a")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def job(**changes: object) -> JobSpan:
    facts: dict[str, object] = {
        "job_id": "job-trainer-a-0", "run_id": "rl-a", "role": JobRole.TRAINER, "provider": "modal",
        "gpu_model": "h100", "status": "running", "attempt": 1, "tokens": 0, "started_at": NOON, "ended_at": None,
    }  # fmt: skip
    return JobSpan(**(facts | changes))  # type: ignore[arg-type]


def nothing() -> CostRecord:
    return CostRecord(
        run_id="rl-a", gpu_s=0, cpu_s=0, sandbox_s=0, tokens=0, usd=0, usd_per_hour=0, max_cost_usd=None,
        unpriced=[], counters={}, told_percent=0, version=0, active_at=NOON, metered_at=NOON, is_closed=False,
    )  # fmt: skip


def advanced(cost: CostRecord, values: dict[str, object]) -> CostRecord:
    fields = {name: getattr(cost, name) for name in CostRecord.__slots__}
    return CostRecord(**(fields | values))  # type: ignore[arg-type]


def test_an_hour_of_two_accelerators_costs_twice_the_list_price():
    found = charge([job(gpu_model="h100:2")], Prices(), NOON, after(3600))
    assert found.gpu_s == 7200 and found.cpu_s == 0
    assert found.usd == pytest.approx(2 * LIST["modal"]["h100"])
    assert found.usd_per_hour == pytest.approx(2 * LIST["modal"]["h100"])


def test_a_worker_of_an_accelerated_run_is_charged_for_its_core():
    found = charge([job(role=JobRole.WORKER)], Prices(), NOON, after(3600))
    assert (found.gpu_s, found.cpu_s) == (0, 3600)
    assert found.usd == pytest.approx(LIST["modal"]["cpu"])


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 10),
        ({"started_at": after(4)}, 6),
        ({"ended_at": after(3), "status": "succeeded"}, 3),
        ({"started_at": after(2), "ended_at": after(5), "status": "failed"}, 3),
        ({"started_at": None, "status": "starting"}, 0),
        ({"status": "queued"}, 0),
        ({"status": "lost"}, 10),
        ({"started_at": after(20)}, 10),
        ({"ended_at": after(-5), "started_at": after(-9), "status": "succeeded"}, 0),
    ],
)
def test_a_job_is_charged_for_its_part_of_the_tick(changes: dict[str, object], seconds: float):
    assert charge([job(**changes)], Prices(), NOON, after(10)).gpu_s == seconds


def test_what_has_no_price_is_named_and_counted():
    found = charge([job(provider="akash", gpu_model="b200")], Prices(), NOON, after(10))
    assert (found.usd, found.gpu_s, found.unpriced) == (0, 10, ("akash/b200",))


def test_tokens_are_counted_through_restarts_of_their_process():
    added, counters = new_tokens({}, [job(tokens=100)])
    assert added == 100
    added, counters = new_tokens(counters, [job(tokens=150)])
    assert added == 50
    added, counters = new_tokens(counters, [job(attempt=2, tokens=0)])
    assert added == 0
    added, counters = new_tokens(counters, [job(attempt=2, tokens=30)])
    assert (added, counters) == (30, {"job-trainer-a-0": [2, 30]})


_JOBS = st.builds(
    job,
    job_id=st.sampled_from(["job-policy-a-0", "job-trainer-a-0", "job-worker-a-0"]),
    role=st.sampled_from(list(JobRole)),
    provider=st.sampled_from(["local", "modal", "akash", "nowhere"]),
    gpu_model=st.sampled_from(["cpu", "any", "h100", "a100:4", "b200"]),
    status=st.sampled_from([status.value for status in JobStatus]),
    attempt=st.integers(0, 3),
    tokens=st.integers(0, 1000),
    started_at=st.none() | st.integers(-100, 100).map(after),
    ended_at=st.none() | st.integers(-100, 100).map(after),
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(_JOBS, max_size=4), st.floats(0, 5), st.integers(-50, 50), st.floats(0, 3), st.integers(0, 9)
        )
    )
)
def test_the_meter_never_goes_down_whatever_jobs_and_clocks_do(
    ticks: list[tuple[list[JobSpan], float, int, float, int]],
):
    cost = nothing()
    prices = Prices({"local": {"cpu": 1.0, "sandbox": 2.0, "h100": 3.0}})
    for jobs, elapsed, now, sandbox_s, version in ticks:
        values = advance(
            cost, jobs, prices, sandbox_s=sandbox_s, version=version, elapsed=timedelta(seconds=elapsed),
            now=after(now), has_ended=False,
        )  # fmt: skip
        then = advanced(cost, values)
        for name in SUMS:
            assert getattr(then, name) >= getattr(cost, name)
        assert set(cost.unpriced) <= set(then.unpriced)
        assert then.version >= cost.version and then.usd_per_hour >= 0
        most = sum(5 * rules.machine(each.role, each.gpu_model).accelerators for each in jobs)
        assert then.gpu_s - cost.gpu_s <= most + 1e-6, "no tick charges more than it is long"
        cost = then


@settings(deadline=None)
@given(
    hourly=st.floats(0.01, 2000),
    seconds_affordable=st.floats(rules.LEAST_S, 1e5),
    used=st.lists(st.floats(0, 1), min_size=1, max_size=50),
    stop_takes_s=st.floats(0, STOP_S),
    finish_takes_s=st.floats(0, 1000),
)
def test_a_cap_is_never_passed_by_more_than_a_tick(
    hourly: float, seconds_affordable: float, used: list[float], stop_takes_s: float, finish_takes_s: float
):
    """`used` is how much of its machines the run has in each tick: some jobs come later, or are being retried."""
    cap, tick_usd = hourly * seconds_affordable / 3600, hourly * TICK_S / 3600
    rules.require_affordable(cap, hourly)
    spent, finishing_s, heard = 0.0, None, []
    for tick in range(200_000):
        verdict = rules.verdict(spent, cap, hourly)
        heard.append(verdict)
        if verdict is Verdict.STOP or (finishing_s is not None and finishing_s > finish_takes_s):
            break
        if verdict is Verdict.FINISH and finishing_s is None:
            finishing_s = 0.0
        finishing_s = None if finishing_s is None else finishing_s + TICK_S
        # Later ticks take everything, so that the search ends.
        spent += tick_usd * (used[tick] if tick < len(used) else 1.0)
    else:
        pytest.fail("nothing ever stopped it")
    spent += hourly * (stop_takes_s + TICK_S) / 3600  # ending its processes, seen one tick late
    assert spent <= cap + tick_usd
    assert Verdict.FINISH in heard, "it was asked to end in good order before it was ended"


def test_a_run_without_a_cap_goes_on():
    assert rules.verdict(1e9, None, 1e3) is Verdict.GO_ON


def test_a_cap_that_cannot_be_kept_is_refused():
    with pytest.raises(Invalid, match="nobody knows") as unknown:
        rules.require_affordable(5.0, None)
    assert unknown.value.code == "price_unknown"
    with pytest.raises(Invalid, match="at least 25 s") as small:
        rules.require_affordable(0.001, 4.0)
    assert small.value.code == "cap_too_small"
    rules.require_affordable(None, None)
    rules.require_affordable(0.01, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": "preemptible", "provider": "ray", "checkpoint_every": 50},
        {"capacity": "preemptible", "provider": "ray", "checkpoint_every": 6, "max_steps": 5},
        {"provider": "modal", "gpu_model": "h100", "checkpoint_every": 11},
    ],
)
def test_preemptible_capacity_is_refused_for_a_trainer_without_checkpoints(changes: dict[str, object]):
    with pytest.raises(Invalid, match=r"checkpoint_every|capacity"):
        rules.require_resumable(spec(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"capacity": "preemptible", "provider": "ray"},
        {"capacity": "preemptible", "provider": "ray", "checkpoint_every": 50, "mode": "evaluate"},
        {"provider": "modal", "gpu_model": "h100"},
        {"checkpoint_every": 50},
    ],
)
def test_capacity_that_a_trainer_survives_is_taken(changes: dict[str, object]):
    rules.require_resumable(spec(**changes))


def test_idle_accelerators_are_given_back_and_busy_or_absent_ones_are_not():
    run = spec(gpu_model="h100", idle_minutes=10)
    assert rules.idle_reason(run, NOON, after(599)) is None
    assert "10 minutes" in (rules.idle_reason(run, NOON, after(601)) or "")
    assert rules.idle_reason(spec(idle_minutes=10), NOON, after(9999)) is None
    assert rules.idle_reason(spec(gpu_model="h100", idle_minutes=None), NOON, after(9999)) is None


def test_milestones_are_told_once_and_in_order():
    told = [percent for usd in (1, 4.9, 5, 7, 9, 9.6) if (percent := rules.passed(usd, 10, 0 if usd < 6 else 50))]
    assert told == [50, 80, 95]
    assert rules.passed(9.6, 10, 95) is None
    assert rules.passed(9.6, None, 0) is None


def test_an_operators_prices_change_the_list_and_nonsense_is_refused():
    prices = Prices.parse('{"local": {"H100": 1.9}, "ours": {"cpu": 0.5}}')
    assert prices.per_hour("local", "h100") == 1.9
    assert prices.per_hour("ours", "cpu") == 0.5
    assert prices.per_hour("modal", "h100") == LIST["modal"]["h100"]
    assert prices.per_hour("ours", "h100") is None
    assert prices.per_hour("local", "any") == 1.9
    assert prices.per_hour("modal", "any") == LIST["modal"]["t4"]
    for text in (
        "[]",
        "{",
        '{"a": 1}',
        '{"a": {"b": "1"}}',
        '{"a": {"b": -1}}',
        '{"a": {"b": true}}',
        '{"a": {"b": NaN}}',
    ):
        with pytest.raises(Invalid, match="SKYSCALE_PRICES"):
            Prices.parse(text)


def test_an_estimate_multiplies_what_it_knows_and_says_what_it_assumes():
    run = spec(provider="modal", gpu_model="h100", num_workers=4, max_steps=100)
    found = estimate(run, Prices(), [Past(startup_s=100, step_s=35)], sandbox_slots=2, providers=["local"])
    hourly = 2 * LIST["modal"]["h100"] + 4 * LIST["modal"]["cpu"]
    assert found.usd_per_hour == pytest.approx(hourly)
    assert found.hours == pytest.approx(1.0)
    assert found.usd == pytest.approx(hourly)
    assert [item.what for item in found.items] == ["policy", "trainer", "worker", "sandboxes"]
    assert any("35.0 s" in each for each in found.assumptions)


def test_an_estimate_without_knowledge_says_so_instead_of_guessing():
    run = spec(provider="modal", gpu_model="h100", max_steps=100)
    found = estimate(run, Prices(), [], sandbox_slots=2, providers=["local"])
    assert found.hours is None and found.usd is None and found.usd_per_hour is not None
    assert any("unknown" in each for each in found.assumptions)
    dear = estimate(spec(provider="akash", gpu_model="b200"), Prices(), [], sandbox_slots=2, providers=["local"])
    assert dear.usd_per_hour is None
    assert any("SKYSCALE_PRICES" in each for each in dear.assumptions)


def test_a_cap_bounds_the_estimate():
    run = spec(provider="modal", gpu_model="h100", max_hours=100, max_cost_usd=8.0)
    found = estimate(run, Prices(), [], sandbox_slots=2, providers=["local"])
    assert found.usd == pytest.approx(8.0)
    assert found.hours is not None and found.hours < 1.1


def test_a_run_of_own_machines_is_free_until_their_owner_says_otherwise():
    run = spec(max_steps=10)
    free = estimate(run, Prices(), [], sandbox_slots=2, providers=["local"])
    assert (free.usd_per_hour, free.usd) == (0.0, 0.0)
    priced = estimate(run, Prices({"local": {"cpu": 0.1, "sandbox": 0.05}}), [], sandbox_slots=2, providers=["local"])
    assert priced.usd_per_hour == pytest.approx(0.3 + 0.1)
