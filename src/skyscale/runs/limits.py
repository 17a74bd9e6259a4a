"""How far a run is: its first rollout, its evaluations, its own limits."""

from datetime import datetime

from skyscale.events.service import EventLog
from skyscale.runs import queries, rules
from skyscale.runs.no_signal import SignalWatch, explain
from skyscale.runs.ports import Buffer, Evaluations
from skyscale.runs.queries import RunRecord
from skyscale.store.engine import AsyncConnection, Database
from skyscale.telemetry.metrics import Metrics
from skyscale.wire.batches import BufferStats
from skyscale.wire.runs import EvaluationResult


async def note_rollouts(
    database: Database, buffer: Buffer, metrics: Metrics, run: RunRecord, now: datetime
) -> BufferStats:
    """Show the buffer's size, and record when the first training group was given out."""
    stats = await buffer.stats(run.run_id)
    metrics.note_buffer(stats)
    if run.rollouts_started_at is None and stats.groups_in_play + stats.pushed > 0:
        async with database.write() as connection:
            await queries.change(connection, run.run_id, now, {"rollouts_started_at": now})
    return stats


async def note_signal(
    database: Database, buffer: Buffer, events: EventLog, watch: SignalWatch, stats: BufferStats, now: datetime
) -> None:
    """Tell of a run that has not been able to learn from anything it played for an hour."""
    episodes = watch.note(stats, now)
    if episodes is None:
        return
    reward = await buffer.recent_reward(stats.run_id, now)
    async with database.write() as connection:
        await events.append(
            connection, run_id=stats.run_id, component="coordinator", kind="run.no_signal", level="warning",
            message=explain(episodes, reward), data={"episodes": episodes, "mean_reward": reward},
        )  # fmt: skip


def is_evaluation_due(run: RunRecord) -> bool:
    """Whether the newest version is to be evaluated now."""
    return run.evaluating is None and rules.evaluation_due(
        run.spec.evaluation,
        newest=run.newest_version,
        asked=run.evaluation_asked,
        is_finishing=run.finish_reason is not None,
    )


async def ask_for_evaluation(
    evaluations: Evaluations, connection: AsyncConnection, run: RunRecord, now: datetime
) -> None:
    """Have the newest version evaluated, if that is due."""
    if is_evaluation_due(run):
        await queries.change(connection, run.run_id, now, {"evaluation_asked": run.newest_version})
        await evaluations.request(connection, run.spec, run.newest_version)


async def note_evaluation(
    database: Database, evaluations: Evaluations, events: EventLog, run: RunRecord, now: datetime
) -> EvaluationResult | None:
    """If the open evaluation is complete, record it, note which version is the best, and let the run go on."""
    version = run.evaluation_asked
    async with database.read() as connection:
        result = await evaluations.result(connection, run.run_id, version)
        best = rules.best_version(await evaluations.results(connection, run.run_id)) if result is not None else None
    if result is None:
        return None
    async with database.write() as connection:
        again = await queries.get(connection, run.run_id, lock=True)
        if again is None or again.evaluating != version:
            return None
        await queries.change(connection, run.run_id, now, {"evaluation_done": version, "best_version": best})
        await events.append(
            connection, run_id=run.run_id, component="env", kind="evaluation.finished",
            message=f"version {version} scores {result.reward:.3f} on {result.num_problems} held-out problems"
            + ("" if not result.pass_at else f", pass@1 {result.pass_at[0].value:.3f}"),
            data={
                "version": version, "reward": result.reward, "num_episodes": result.num_episodes,
                "pass_at": {str(each.k): each.value for each in result.pass_at}, "best_version": best,
            },
        )  # fmt: skip
    return result


async def reached(database: Database, run: RunRecord, now: datetime) -> str | None:
    """Which of its limits the run has reached, in words."""
    rewards: list[float] = []
    if run.spec.target_reward is not None:
        async with database.read() as connection:
            points = await queries.newest_metrics(connection, run.run_id, 4 * rules.TARGET_REWARD_VERSIONS)
        by_step = {point.step: point.episode_reward for point in points if point.episode_reward is not None}
        rewards = [by_step[step] for step in sorted(by_step, reverse=True)]
    progress = rules.Progress(
        newest_version=run.newest_version, rollouts_started_at=run.rollouts_started_at, recent_rewards=rewards
    )
    return rules.limit_reached(run.spec, progress, now)
