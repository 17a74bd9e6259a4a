"""The SDK's `Sandbox` and `skyscale sandbox ...` against a control plane of its own; and that plane killed."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import skyscale
from skyscale.cli.main import run as skyscale_command
from skyscale.errors import Conflict, Gone, Invalid, NotFound, TooMany
from skyscale.sandboxes.loading import load_workspaces
from skyscale.sandboxes.workspace import WorkspaceLimits
from skyscale.sdk.sandbox import Sandbox
from skyscale.wire.sandboxes import ExecRequest, SandboxCreate, SandboxLimits

SERVER = """
import sys
from pathlib import Path
from skyscale.api.serve import run_server
from skyscale.settings import Settings
settings = Settings(data_dir=Path(sys.argv[1]), port=0, sandbox_max_open=4)
run_server(settings, on_ready=lambda url: print(url, flush=True))
"""
DEADLINE_S = 20.0


@contextmanager
def control_plane(folder: Path) -> Generator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://")
            yield url, process
            process.send_signal(signal.SIGTERM)
            process.wait(DEADLINE_S)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with control_plane(tmp_path_factory.mktemp("plane")) as (address, _):
        yield address


async def test_clients_that_do_not_block_have_sandboxes_too(url: str) -> None:
    async with skyscale.AsyncClient(url) as client:
        made = await client.sandboxes.create(SandboxCreate(runtime="python3"))
        assert (await client.sandboxes.write(made.id, "a/b.txt", b"there")).size_bytes == 5
        done = await client.sandboxes.run(made.id, ExecRequest(code="print(open('a/b.txt').read())"))
        assert (done.exit_code, done.stdout) == (0, "there\n")
        assert await client.sandboxes.read(made.id, "a/b.txt") == b"there"
        assert [each.name for each in (await client.sandboxes.files(made.id, "a")).entries] == ["b.txt"]
        assert made.id in [each.id for each in (await client.sandboxes.list(is_open=True)).sandboxes]
        await client.sandboxes.destroy(made.id)
        assert (await client.sandboxes.get(made.id)).status == "destroyed"
        assert (await client.sandboxes.hosts()).hosts == []
    with skyscale.Client(url) as blocking, pytest.raises(Gone):
        blocking.sandboxes.run(made.id, ExecRequest(code="1"))


def test_a_sandbox_keeps_files_and_is_gone_after_its_block(url: str) -> None:
    with Sandbox.create(url=url, limits=SandboxLimits(memory_mb=128), metadata={"by": "test"}) as box:
        box.write("in/data.txt", "1 2 3")
        result = box.run("print(sum(map(int, open('in/data.txt').read().split())))")
        assert (result.stdout, result.exit_code, result.status) == ("6\n", 0, "ok")
        assert box.run("raise SystemExit(4)").exit_code == 4
        assert box.run("wc -c", language="bash", stdin="four").stdout.strip() == "4"
        box.run("open('out.bin', 'wb').write(bytes(range(256)))")
        assert box.read("out.bin") == bytes(range(256))
        assert [(f.name, f.kind) for f in box.files()] == [("in", "directory"), ("out.bin", "file")]
        assert box.run("while True: pass", timeout_seconds=0.3).status == "timeout"
        for path in ("../x", "/etc/passwd", "a/../../b"):
            with pytest.raises(Invalid):
                box.read(path)
        with pytest.raises(NotFound):
            box.read("nothing")
        assert box.view().status == "ready"
    again = Sandbox.connect(box.id, url=url)
    with pytest.raises(Gone):
        again.run("1")
    again.destroy()
    again.close()


def test_output_streams_and_a_closed_stream_ends_the_program(url: str) -> None:
    with skyscale.Sandbox.create("bash", url=url) as box:
        events = box.stream("echo one; sleep 30; echo two")
        first = next(events)
        assert (first.type, first.data) == ("stdout", "one\n")
        with pytest.raises(Conflict):
            box.run("true")
        events.close()
        deadline = time.monotonic() + DEADLINE_S
        while box.view().status != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        *_, last = box.stream("echo three; exit 3")
        assert last.result is not None and (last.type, last.result.exit_code) == ("end", 3)


def test_the_quota_is_an_error_with_a_hint(url: str) -> None:
    boxes: list[Sandbox] = []
    try:
        with pytest.raises(TooMany) as caught:
            for _ in range(5):
                sandbox = Sandbox.connect("sb-unused", url=url)
                sandbox._transport.options.retry_for_s = 0
                boxes.append(Sandbox(_make_without_retry(sandbox), sandbox._transport))
        assert "SKYSCALE_SANDBOX_MAX_OPEN" in caught.value.hint
        assert len(boxes) == 4
    finally:
        for box in boxes:
            box.destroy()
            box.close()
        sandbox.close()
    with pytest.raises(Invalid, match="ttl_seconds"):
        Sandbox.create(url=url, ttl_seconds=10**9)


def _make_without_retry(sandbox: Sandbox) -> str:
    from skyscale.sdk import sandbox_calls
    from skyscale.wire.sandboxes import SandboxCreate

    return sandbox._transport.send(sandbox_calls.create(SandboxCreate())).id


def test_the_command_line_makes_uses_copies_lists_and_removes(
    url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYSCALE_URL", url)

    def said(*args: str, code: int = 0) -> str:
        assert skyscale_command(["sandbox", *args]) == code
        return capfd.readouterr().out

    box = said("create", "--ttl", "60").strip()
    assert said("exec", box, "-c", "import sys; print('hi'); sys.exit(7)", code=7) == "hi\n"
    script = tmp_path / "job.py"
    script.write_text("print(open('deep/in.txt').read())")
    (tmp_path / "in.txt").write_text("content")
    said("cp", str(tmp_path / "in.txt"), f"{box}:deep/")
    assert said("exec", box, str(script)) == "content\n"
    said("cp", f"{box}:deep/in.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "content"
    assert "deep/" in said("ls", box) and "in.txt" in said("ls", f"{box}:deep")
    assert box in said("ls")
    monkeypatch.setattr(sys, "stdin", io.StringIO("mkdir inner; cd inner\npwd\nfalse\n"))
    assert said("shell", box, code=1) == "/workspace/inner\n"
    said("rm", box)
    assert box not in said("ls") and box in said("ls", "--all")
    assert skyscale_command(["sandbox", "exec", box, "-c", "1"]) == 1
    assert "was destroyed" in capfd.readouterr().err
    assert skyscale_command(["sandbox", "cp", "a", "b"]) == 2


def test_the_doctor_names_every_layer(capfd: pytest.CaptureFixture[str]) -> None:
    code = skyscale_command(["doctor", "--backend", "process", "--json"])
    layers = json.loads(capfd.readouterr().out)["backends"]["process"]
    assert code == int(layers["available"] != "yes" or layers["seccomp"] != "yes")
    assert {"pid namespace", "network namespace", "seccomp", "no capabilities"} <= set(layers)
    skyscale_command(["doctor", "--backend", "process"])
    assert "seccomp" in capfd.readouterr().out
    assert skyscale_command(["doctor", "--backend", "nothing"]) == 2


def test_a_killed_control_plane_leaves_no_process_and_its_rows_are_reaped(tmp_path: Path) -> None:
    with control_plane(tmp_path) as (url, process):
        box = Sandbox.create(url=url)
        box.write("kept", "x")
        sleeping = subprocess.Popen(
            [sys.executable, "-c", "import sys; from skyscale.sdk.sandbox import Sandbox; "
             "Sandbox.connect(sys.argv[1], url=sys.argv[2]).run('import time; time.sleep(60)')", box.id, url],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _until(lambda: box.view().status == "busy")
        ours = _descendants(process.pid)
        assert len(ours) >= 5  # zygotes and their slots, the keeper, the workspace, the program
        process.kill()
        process.wait()
        _until(lambda: not any(map(_is_alive, ours)))
        sleeping.kill()
        sleeping.wait()
        box.close()
    with control_plane(tmp_path) as (url, _):
        again = Sandbox.connect(box.id, url=url)
        assert (again.view().status, again.view().reason) == ("destroyed", "its control plane ended")
        with pytest.raises(Gone):
            again.read("kept")
        again.close()


ORPHANED = """
import asyncio, os, signal, sys
from skyscale.sandboxes.loading import load_workspaces
from skyscale.sandboxes.workspace import WorkspaceLimits
async def main():
    backend = load_workspaces("process", label=sys.argv[1])
    await backend.start()
    box = await backend.create("sb-1", WorkspaceLimits())
    os.kill(backend._keeper.pid, signal.SIGSTOP)  # it cannot notice our end
    print(backend._keeper.pid, box.pid, flush=True)
    os._exit(0)
asyncio.run(main())
"""


def test_what_a_dead_control_plane_left_is_found_by_its_label_and_nothing_else(tmp_path: Path) -> None:
    label, other = f"{tmp_path.name}-ours", f"{tmp_path.name}-other"
    left, foreign = _orphans(label), _orphans(other)
    try:
        assert _is_alive(left[0]) and _is_alive(foreign[0])
        asyncio.run(_start_and_stop(label))
        _until(lambda: not any(map(_is_alive, left)))
        assert _is_alive(foreign[0])
    finally:
        asyncio.run(_start_and_stop(other))
        _until(lambda: not any(map(_is_alive, foreign)))


def _orphans(label: str) -> list[int]:
    # Not stderr: the stopped process keeps it open.
    command = [sys.executable, "-c", ORPHANED, label]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=DEADLINE_S).stdout
    return [int(pid) for pid in said.split()]


async def _start_and_stop(label: str) -> None:
    backend = load_workspaces("process", label=label)
    await backend.start()
    box = await backend.create("sb-2", WorkspaceLimits())
    await backend.start()  # a second look ends nothing that lives
    assert box.is_alive
    await backend.stop()


def test_the_server_answers_while_programs_of_one_caller_spin(url: str) -> None:
    boxes = [Sandbox.create(url=url) for _ in range(3)]
    streams = [box.stream("print(1, flush=True)\nwhile True: pass", timeout_seconds=20) for box in boxes]
    assert [next(stream).data for stream in streams] == ["1\n"] * 3
    assert httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    for stream, box in zip(streams, boxes, strict=True):
        box.destroy()
        *_, last = stream
        assert last.result is not None and last.result.status == "cancelled"
        box.close()


def _until(is_so: object) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    queue = [pid]
    while queue:
        for task in Path(f"/proc/{queue.pop()}/task").iterdir():
            children = [int(child) for child in (task / "children").read_text().split()]
            found += children
            queue += children
    return found


def test_the_package_offers_the_sandbox_without_importing_it_first() -> None:
    script = "import sys, skyscale; before = 'httpx' in sys.modules; skyscale.Sandbox; print(before)"
    environment = {**os.environ}
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout == "False\n"
    with pytest.raises(AttributeError):
        skyscale.Nothing  # noqa: B018
