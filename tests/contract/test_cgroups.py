"""cgroup v2 for real, where this machine lets a process of ours have a part of the tree; elsewhere the reason is told.

Each test is a process of its own, because whoever makes groups moves into one. They also ran in the QEMU guest, which
always has cgroup v2: as root, as an ordinary user with a delegated folder, and with all of the process backend on.
"""

import asyncio
import subprocess
import sys

import pytest

from skyscale.sandboxes.layers import is_optional
from skyscale.sandboxes.loading import load_backend

BEGIN = """
import os, sys, time
from pathlib import Path
from skyscale.sandboxes.backends.process.cgroups import delegated
groups = delegated("test")
if isinstance(groups, str):
    print("SKIP", groups)
    sys.exit(0)
"""
BOMBS = """
go, start = os.pipe()
def child(work):
    pid = os.fork()
    if pid == 0:
        os.read(go, 1)
        work()
        os._exit(0)
    return pid
def fork_bomb():
    n = 0
    try:
        while n < 100:
            if os.fork() == 0: time.sleep(60); os._exit(0)
            n += 1
    except OSError:
        pass
    time.sleep(60)
group = groups.make("a", 64 << 20, 32)
bomb = child(lambda: bytearray(200 << 20))
group.add(bomb); os.write(start, b"x")
assert os.waitstatus_to_exitcode(os.waitpid(bomb, 0)[1]) == -9
assert group.num_oom_kills == 1
bomb = child(fork_bomb)
group.add(bomb); os.write(start, b"x")
procs = group.path / "cgroup.procs"
while len(procs.read_text().split()) < 32: time.sleep(0.01)
time.sleep(0.2)
assert len(procs.read_text().split()) == 32
group.remove()
assert not group.path.exists()
"""
LEFTOVERS = """
folder = groups._folder.parent
if (pid := os.fork()) == 0:
    delegated("dead").make("a", 1 << 26, 4)
    os._exit(0)
os.waitpid(pid, 0)
mine = lambda: sorted(p.name for p in folder.glob("skyscale-*-*-*"))
assert len(mine()) == 2, mine()
again = delegated("test")
assert mine() == [groups._folder.name], mine()
groups.close()
assert mine() == [], mine()
"""
SANDBOXES = """
import asyncio
from skyscale.sandboxes.loading import load_backend, load_workspaces
from skyscale.sandboxes.sandbox import Limits
from skyscale.sandboxes.workspace import Command, WorkspaceLimits
groups.close()
async def main():
    async with load_backend("process", slots=1, allow_weak=True) as backend:
        assert backend.report()["memory cgroup"] == "yes"
        sandbox = await backend.acquire()
        assert Path(f"/proc/{sandbox.pid}/cgroup").read_text().strip().endswith("-judging/zygote-0")
        await sandbox.close()
        kept = backend._cgroups._folder
    assert not kept.exists()
    places = load_workspaces("process", label="cgroups")
    await places.start()
    box = await places.create("sb-1", WorkspaceLimits(memory_bytes=64 << 20, max_processes=16, disk_bytes=8 << 20))
    path = box._group.path
    assert (path / "cgroup.procs").read_text().split() == [str(box.pid)]
    code = "import os\\nfor _ in range(3): os.fork()\\nx = bytearray(48 << 20)\\nimport time; time.sleep(5)"
    result = await box.run(Command(code=code, language="python3", timeout_s=30), lambda name, data: None)
    assert result.status == "memory", result
    await box.close()
    assert not path.exists()
    await places.stop()
asyncio.run(main())
"""


@pytest.mark.parametrize("check", [BOMBS, LEFTOVERS, SANDBOXES], ids=["bombs", "leftovers", "sandboxes"])
async def test_groups_bound_and_leave_nothing(check: str) -> None:
    command = [sys.executable, "-c", BEGIN + check]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    if done.stdout.startswith("SKIP"):
        pytest.skip(f"no cgroup v2 for this process: {done.stdout[5:].strip()}")
    assert done.returncode == 0, done.stderr


async def test_the_backend_says_whether_groups_bound_it_and_goes_on_without_them() -> None:
    async with load_backend("process", slots=1) as backend:
        told = backend.report()["memory cgroup"]
    assert told == "yes" or told.startswith("no: ")
    assert is_optional("memory cgroup")
