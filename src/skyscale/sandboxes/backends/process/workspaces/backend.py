"""Interactive sandboxes by the process backend: one keeper process, from which each workspace is forked.

- The keeper is started with the first workspace, so that a control plane that never makes one pays nothing.
- There is no weak mode: without every layer of `REQUIRED` no workspace is handed out.
- A keeper that dies takes its workspaces with it; the next one that is asked for starts another keeper.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from skyscale.errors import SandboxFailure
from skyscale.sandboxes.backends.process.cgroups import Cgroups, delegated
from skyscale.sandboxes.backends.process.workspaces.leftovers import end_leftovers, mark
from skyscale.sandboxes.backends.process.workspaces.workspace import ProcessWorkspace
from skyscale.sandboxes.workspace import WorkspaceLimits

REQUIRED = (
    "user namespace", "pid namespace", "mount namespace", "network namespace", "ipc namespace", "private root",
    "private tmp", "no capabilities", "no new privileges", "resource limits", "seccomp", "verified from outside",
)  # fmt: skip
START_TIMEOUT_S = 20.0
CREATE_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
_ROOT = Path(__file__).resolve().parents[4]
_BOOT = (
    "import sys; sys.path.insert(0, {root!r}); from sandboxes.backends.process.zygote.keeper import main; "
    "del sys.path[0]; main({fd})"
)
_MAX_MESSAGE = 8192
_INIT_BYTES, _INIT_PROCESSES = 32 * 1024 * 1024, 4
"""For the first process of a workspace, which is ours and shares its group."""


class ProcessWorkspaces:
    """Makes workspaces."""

    name = "process"

    def __init__(self, *, label: str) -> None:
        self._label = label
        self._keeper: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._hello: asyncio.Future[None] | None = None
        self._making: dict[str, asyncio.Future[tuple[int, int]]] = {}
        self._all: dict[str, ProcessWorkspace] = {}
        self._starting = asyncio.Lock()
        self._layers: dict[str, str] = {}
        self._cgroups: Cgroups | str = "not tried"

    async def start(self) -> None:
        """End what a dead control plane left behind; the keeper itself waits for the first workspace."""
        await asyncio.to_thread(end_leftovers, self._label)
        self._cgroups = await asyncio.to_thread(delegated, "workspaces")

    async def create(self, workspace_id: str, limits: WorkspaceLimits) -> ProcessWorkspace:
        """A fresh workspace.

        Raises:
            SandboxFailure: it could not be made in time, or not with every layer.
        """
        async with self._starting:
            if self._control is None:
                await self._start_keeper()
        workspace = ProcessWorkspace(workspace_id, limits)
        try:
            async with asyncio.timeout(CREATE_TIMEOUT_S):
                pid, pidfd = await self._make(workspace, limits)
                workspace.spawned(pid, pidfd)
                self._check(await workspace.channel.ready, pid)
                await self._bound(workspace, limits)
        except TimeoutError as error:
            await workspace.close()
            raise SandboxFailure(f"no sandbox became ready in {CREATE_TIMEOUT_S:.0f} s") from error
        except BaseException:
            await workspace.close()
            raise
        self._all = {key: kept for key, kept in self._all.items() if kept.is_alive} | {workspace_id: workspace}
        return workspace

    async def _make(self, workspace: ProcessWorkspace, limits: WorkspaceLimits) -> tuple[int, int]:
        child_end = workspace.channel.child_end
        future: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._making[workspace.workspace_id] = future
        message = {"make": workspace.workspace_id, "disk_bytes": limits.disk_bytes}
        try:
            if self._control is None:
                raise SandboxFailure("the keeper of sandboxes ended")
            socket.send_fds(self._control, [json.dumps(message).encode()], [child_end])
        except OSError as error:
            raise SandboxFailure(f"the keeper of sandboxes takes no request: {error}") from error
        finally:
            os.close(child_end)
        try:
            return await future
        finally:
            self._making.pop(workspace.workspace_id, None)

    async def _bound(self, workspace: ProcessWorkspace, limits: WorkspaceLimits) -> None:
        """Have the kernel bound all its processes and files together, where it can."""
        if isinstance(self._cgroups, str):
            return
        memory_bytes = limits.memory_bytes + limits.disk_bytes + _INIT_BYTES
        group = self._cgroups.make(workspace.workspace_id, memory_bytes, limits.max_processes + _INIT_PROCESSES)
        workspace.bounded(group)
        await asyncio.to_thread(group.add, workspace.pid)

    def _check(self, layers: dict[str, str], pid: int) -> None:
        self._layers = {**layers, **_seen_from_outside(pid), "memory of all processes": "yes"}
        self._layers["memory cgroup"] = f"no: {self._cgroups}" if isinstance(self._cgroups, str) else "yes"
        missing = [f"{name} ({self._layers.get(name)})" for name in REQUIRED if self._layers.get(name) != "yes"]
        if missing:
            raise SandboxFailure(
                f"this host lacks isolation that running unknown code needs: {'; '.join(missing)}",
                code="sandbox_isolation_missing",
                hint="`skyscale doctor` says what to do about each.",
            )

    async def _start_keeper(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._keeper = self._launch(theirs.fileno())
        ours.setblocking(False)
        self._control, self._hello = ours, loop.create_future()
        loop.add_reader(ours.fileno(), self._on_readable)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._hello
        except BaseException as error:
            await self._end_keeper()
            if isinstance(error, TimeoutError):
                raise SandboxFailure(f"the keeper did not answer in {START_TIMEOUT_S:.0f} s") from error
            raise

    def _launch(self, control: int) -> subprocess.Popen[bytes]:
        boot = _BOOT.format(root=str(_ROOT), fd=control)
        python = str(Path(sys.executable).resolve())
        return subprocess.Popen(
            [python, "-s", "-S", "-P", "-B", "-X", "utf8", "-c", boot, mark(self._label)],
            env={}, pass_fds=(control,), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=None,
            start_new_session=True,
        )  # fmt: skip

    def _on_readable(self) -> None:
        assert self._control is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MAX_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._died()
            return
        message: dict[str, Any] = json.loads(data)
        if "hello" in message:
            assert self._hello is not None
            self._hello.set_result(None)
            return
        future = self._making.pop(str(message.get("made") or message.get("failed")), None)
        if future is None or future.done():
            for descriptor in descriptors:  # nobody waits any more; its channel's end makes the process end itself
                os.close(descriptor)
        elif descriptors:
            future.set_result((int(message["pid"]), descriptors[0]))
        else:
            future.set_exception(SandboxFailure(f"the sandbox could not be made: {message.get('detail', 'no files')}"))

    def _died(self) -> None:
        self._let_go()
        failure = SandboxFailure("the keeper of sandboxes ended; its errors are on stderr")
        for future in (*self._making.values(), *([self._hello] if self._hello else [])):
            if not future.done():
                future.set_exception(failure)
        self._making.clear()
        if self._keeper is not None:
            self._keeper.poll()

    def _let_go(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None

    async def _end_keeper(self) -> None:
        self._let_go()
        if self._keeper is None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_TIMEOUT_S
        while self._keeper.poll() is None:
            if loop.time() > deadline:
                self._keeper.kill()
            await asyncio.sleep(0.005)
        self._keeper = None

    async def stop(self) -> None:
        """End every workspace and the keeper."""
        await asyncio.gather(*(workspace.close() for workspace in self._all.values()))
        self._all = {}
        await self._end_keeper()
        if not isinstance(self._cgroups, str):
            await asyncio.to_thread(self._cgroups.close)

    def report(self) -> dict[str, str]:
        """Each isolation layer and whether it is in force here; empty before the first workspace."""
        return dict(self._layers)


def _seen_from_outside(pid: int) -> dict[str, str]:
    """What the kernel says of a workspace's first process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    fields = dict(re.findall(r"^(CapEff|CapBnd|NoNewPrivs|Seccomp):\s*(\S+)", status, re.MULTILINE))
    wanted = {"CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
    wrong = [f"{name} is {fields.get(name)}" for name, value in wanted.items() if fields.get(name) != value]
    return {"verified from outside": f"no: {', '.join(wrong)}" if wrong else "yes"}
