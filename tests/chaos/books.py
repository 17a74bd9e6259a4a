"""What must be true after any number of faults; each function returns the sentences that are not."""

import os
import time
from pathlib import Path

from skyscale.wire.runs import RunCreate, RunStatus
from tests.chaos.pusher import Pusher
from tests.chaos.stage import World

PUSHED = ("waiting", "leased", "acked", "consumed", "flat", "stale", "failed", "evaluated")
GONE_S = 20.0


def of_run(world: World, run_id: str, request: RunCreate) -> list[str]:
    """One ended run: complete, every version made of its own batch, every group in one place."""
    view, wrong = world.client.get_run(run_id), list[str]()
    if view.status is not RunStatus.COMPLETED:
        wrong.append(f"{run_id} is {view.status.value}: {view.reason}")
    if view.policy_version != request.max_steps:
        wrong.append(f"{run_id} ended at version {view.policy_version}, not {request.max_steps}")
    mine = f"run_id = '{run_id}'"
    versions = world.query(f"select version from policies where {mine} order by published_at, version")
    if versions != [str(version) for version in range(1, view.policy_version + 1)]:
        wrong.append(f"the versions of {run_id} do not rise by one: {versions}")
    events = world.query(f"select seq from events where {mine} order by seq")
    if events != [str(seq) for seq in range(1, len(events) + 1)]:
        wrong.append(f"the events of {run_id} have gaps")
    batches = world.query(
        f"select l.lease_id, l.num_groups, count(g.group_id) from buffer_leases l left join buffer_groups g"
        f" on g.lease_id = l.lease_id and g.state = 'consumed' where l.{mine} and l.state = 'published' group by 1, 2"
    )
    if len(batches) != view.policy_version:
        wrong.append(f"{run_id} consumed {len(batches)} batches for {view.policy_version} versions")
    wrong += [f"of lease {row} not every group is consumed" for row in batches if len(set(row.split("|")[1:])) != 1]
    consumed = world.query(f"select count(*) from buffer_groups where {mine} and state = 'consumed'")
    if consumed != [str(request.algorithm.groups_per_step * view.policy_version)]:
        wrong.append(f"{run_id} consumed {consumed[0]} groups in {view.policy_version} versions")
    states = ", ".join(f"'{state}'" for state in PUSHED)
    lost = world.query(
        f"select g.group_id, g.state from buffer_groups g left join buffer_payloads p on p.group_id = g.group_id"
        f" where g.{mine} and g.state in ({states}) and p.group_id is null"
    )
    wrong += [f"a pushed group has lost its content: {row}" for row in lost]
    stats = world.client.buffer_stats(run_id)
    if stats.pushed != stats.size + stats.leased + stats.consumed + stats.flat + stats.stale + stats.failed:
        wrong.append(f"the buffer's counts do not add up: {stats}")
    return wrong


def of_pushes(world: World, pusher: Pusher) -> list[str]:
    """What was acknowledged is there, once; what was handed out was handed out once."""
    kept = world.query(f"select trajectory_id from buffer_trajectories where run_id = '{pusher.run_id}'")
    wrong: list[str] = []
    if lost := pusher.acknowledged - set(kept):
        wrong.append(f"{len(lost)} acknowledged trajectories are lost, {sorted(lost)[:3]} among them")
    if len(kept) != len(set(kept)):
        wrong.append("a trajectory is kept twice")
    if len(pusher.sampled) != len(set(pusher.sampled)):
        wrong.append("a trajectory was handed out twice")
    return wrong


def of_database(world: World) -> list[str]:
    """Nothing is held by anybody after all runs have ended."""
    ended = "select run_id from runs where status in ('completed', 'failed', 'stopped')"
    held = {
        "leases": f"select lease_id from buffer_leases where state = 'active' and run_id in ({ended})",
        "jobs": "select job_id, status from jobs where status not in ('succeeded', 'failed', 'cancelled')",
        "job locks": "select job_id from jobs where lock_token is not null",
        "sandboxes": "select sandbox_id from sandboxes where status not in ('destroyed', 'failed')",
    }
    return [f"{what} are left: {rows[:5]}" for what, sql in held.items() if (rows := world.query(sql))]


def things() -> dict[str, int]:
    """What the machine holds of sandboxes."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "mounts": sum("skyscale" in line for line in mounts),
        "folders": len(list(Path("/tmp").glob("skyscale-sandbox*"))),
        "control groups": len(list(Path("/sys/fs/cgroup").glob(f"**/skyscale*{os.getuid()}*"))),
    }


def of_machine(world: World, before: dict[str, int]) -> list[str]:
    """After everything was stopped nothing is left of it."""
    deadline = time.monotonic() + GONE_S
    while world.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    wrong = [f"a process is left: {process.pid} {' '.join(process.cmdline())[:200]}" for process in world.processes()]
    return wrong + [f"{what} are left: {now - before[what]}" for what, now in things().items() if now > before[what]]
