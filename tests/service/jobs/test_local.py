"""What only the local provider promises: whole process trees, clean environments, pids that are not mistaken."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from skyscale.jobs import processes
from skyscale.jobs.provider import JobLaunch, Setup
from skyscale.jobs.providers.local import LocalProvider
from skyscale.jobs.rules import Seen
from skyscale.wire.jobs import JobRole

JOB = "job-local"
SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def launch(code: str, role: JobRole = JobRole.CUSTOM) -> JobLaunch:
    return JobLaunch(
        job_id=JOB, role=role, attempt=1, command=[sys.executable, "-c", code], url="http://127.0.0.1:1", token="s3cr3t"
    )


async def until(check: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.01)


def log_of(folder: Path) -> str:
    return (folder / JOB / "log").read_text()


async def test_stop_ends_the_whole_tree_even_what_left_the_session(tmp_path: Path) -> None:
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); "
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    handle = await provider.start(launch(child + SLEEP))
    await until(lambda: log_of(tmp_path).count("up") == 2)
    assert len(processes.of_folder(tmp_path / JOB)) == 3, "runner, command, detached grandchild"
    await provider.stop(JOB, handle, 0.5)
    assert processes.of_folder(tmp_path / JOB) == []


async def test_what_a_command_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}])"
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    handle = await provider.start(launch(code))
    await until(lambda: not processes.of_folder(tmp_path / JOB) and (tmp_path / JOB / "exit-1").exists())
    assert await provider.poll(handle) == Seen("exited", 0)


async def test_kill_9_of_the_runner_takes_the_command_with_it(tmp_path: Path) -> None:
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    handle = await provider.start(launch(SLEEP))
    await until(lambda: "up" in log_of(tmp_path))
    os.kill(json.loads(handle)["process"]["pid"], signal.SIGKILL)
    await until(lambda: processes.of_folder(tmp_path / JOB) == [])
    assert await provider.poll(handle) == Seen("unknown")


async def test_a_signal_shows_in_the_exit_code(tmp_path: Path) -> None:
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    handle = await provider.start(launch("import os; os.kill(os.getpid(), 9)"))
    await until((tmp_path / JOB / "exit-1").exists)
    assert await provider.poll(handle) == Seen("exited", -9)


async def test_a_reused_pid_is_neither_taken_for_the_job_nor_killed(tmp_path: Path) -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    stranger = {"pid": me.pid, "started": me.started - 1, "boot": me.boot}
    handle = json.dumps({"process": stranger, "folder": str(tmp_path / JOB), "attempt": 1})
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    assert await provider.poll(handle) == Seen("unknown")
    await provider.stop(JOB, handle, 0.1)


async def test_secrets_of_the_control_plane_stay_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SKYSCALE_DASHBOARD_TOKEN", "DATABASE_URL", "S3_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "must-not-leak")
    monkeypatch.setenv("SKYSCALE_LOG_LEVEL", "debug")
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    await provider.start(launch("import os, sys; print(sys.argv, dict(os.environ)); print('end')"))
    await until(lambda: "end\n" in log_of(tmp_path))
    assert "must-not-leak" not in log_of(tmp_path)
    assert "'SKYSCALE_LOG_LEVEL': 'debug'" in log_of(tmp_path)


async def test_the_token_is_on_no_command_line(tmp_path: Path) -> None:
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    await provider.start(launch(SLEEP))
    await until(lambda: "up" in log_of(tmp_path))
    lines = [psutil.Process(each.pid).cmdline() for each in processes.of_folder(tmp_path / JOB)]
    assert len(lines) == 2
    assert "s3cr3t" not in str(lines)
    assert str(lines).count("sleep(60)") == 1, "only the command shows the command"
    await provider.stop(JOB, None, 0)


async def test_on_few_cores_torch_threads_are_shared_out_unless_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    show = "import os; print('threads', os.environ.get('OMP_NUM_THREADS'), flush=True)"
    provider = LocalProvider(Setup(jobs_dir=tmp_path, owner="0123456789ab"))
    for role, threads in ((JobRole.TRAINER, "3"), (JobRole.POLICY, "1"), (JobRole.CUSTOM, "None")):
        await provider.start(launch(show, role))
        await until(lambda threads=threads: f"threads {threads}\n" in log_of(tmp_path))
        await provider.stop(JOB, None, 0)
