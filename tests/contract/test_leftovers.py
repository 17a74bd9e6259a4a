"""What a control plane that was killed left behind: found by its mark and reaped; what is alive is never touched."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skyscale.sandboxes.backends.firecracker import snapshot
from skyscale.sandboxes.guest import leftovers


@pytest.fixture(scope="module")
def dead() -> str:
    """The mark of a process that is gone."""
    script = "from skyscale.sandboxes.guest import leftovers; print(leftovers.mark())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def idle(started: list[subprocess.Popen[bytes]], *words: str) -> subprocess.Popen[bytes]:
    """A process with these words on its command line."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *words])
    started.append(process)
    return process


def test_a_mark_tells_whose_owner_is_gone(dead: str) -> None:
    own = leftovers.mark()
    _, namespace, pid, started = own.split("-")
    assert leftovers.is_orphaned(f"draft-{dead}-x")
    assert not leftovers.is_orphaned(own)
    assert leftovers.is_orphaned(f"sky-{namespace}-{pid}-{int(started, 16) - 1:x}"), "the number was given again"
    assert not leftovers.is_orphaned(dead.replace(namespace, f"{int(namespace, 16) + 1:x}")), "another host's"
    for text in ("", "sky-", "sky-1-2", "sky-" + "f" * 99 + "-1-1", "sky-zz-1-1"):
        assert not leftovers.is_orphaned(text)


def test_only_marked_processes_of_dead_owners_are_ended(dead: str, started: list[subprocess.Popen[bytes]]) -> None:
    orphan = idle(started, "--name", dead)
    others = [idle(started, leftovers.mark()), idle(started, "plain")]
    ended = leftovers.end_processes(lambda words: "time.sleep(60)" in words and leftovers.is_orphaned(words))
    assert (ended, orphan.wait(timeout=10)) == (1, -9)
    assert [process.poll() for process in others] == [None, None]


def test_only_own_folders_of_dead_owners_are_removed(dead: str, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (target / "kept").mkdir(parents=True)
    base = tmp_path / "base"
    for name in (f"x-{dead}-1", f"x-{leftovers.mark()}-2", "plain"):
        (base / name / "inner").mkdir(parents=True)
    (base / f"link-{dead}").symlink_to(target)
    (base / f"x-{dead}-1" / "out").symlink_to(target)
    assert leftovers.remove_orphaned_folders(base) == 1
    assert sorted(path.name for path in base.iterdir()) == sorted([f"x-{leftovers.mark()}-2", "plain", f"link-{dead}"])
    assert (target / "kept").is_dir()
    assert leftovers.remove_orphaned_folders(tmp_path / "absent") == 0


def test_jails_of_a_dead_control_plane_and_their_machines_are_reaped(
    dead: str, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    drafts, jails = tmp_path / "vm-snapshots", tmp_path / "vm-jails"
    machine_id, living_id = f"{dead}-0a1b2c3d", f"{leftovers.mark()}-0a1b2c3d"
    for name in (machine_id, living_id):
        run = jails / "firecracker" / name / "root" / "run"
        run.mkdir(parents=True)
        (run / "vsock.sock").touch()
        (jails / "firecracker" / name / "root" / "memory").write_text("overlay")
    (drafts / f"draft-{dead}-x").mkdir(parents=True)
    machine, living = idle(started, "--id", machine_id), idle(started, "--id", living_id)
    assert snapshot.reap(drafts, jails) == 3
    assert machine.wait(timeout=10) == -9
    assert living.poll() is None
    assert [path.name for path in (jails / "firecracker").iterdir()] == [living_id]
    assert not list(drafts.iterdir())
    assert snapshot.reap(drafts, jails) == 0
