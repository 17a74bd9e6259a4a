"""A user's Python file at work in a sandbox that is kept alive: JSON in, JSON out, one request at a time.

- The file runs in the sandbox and nowhere else; what it gets from us is data.
- Whatever ends the sandbox (a loop, a crash, too much memory) ends the file for good: `EnvironmentFailure`, which says
  what happened and quotes the end of what the file printed to stderr. Only what our side breaks is a `SandboxFailure`.
"""

import asyncio
import functools
import json
from pathlib import Path
from typing import Any

from skyscale.envs.claims import json_object
from skyscale.errors import EnvironmentFailure, SandboxFailure
from skyscale.sandboxes.encoding import encode
from skyscale.sandboxes.sandbox import CallResult, CallStatus, Limits, SandboxBackend, TalkingSandbox

LOAD_TIMEOUT_S = 5.0
MAX_REPLY_BYTES = 1024 * 1024
MEMORY_BYTES = 512 * 1024 * 1024
_INSIDE = Path(__file__).parent / "inside"
_SHOWN_CHARS = 600
_MEANING = {
    CallStatus.TIMEOUT: "took too long",
    CallStatus.MEMORY: "used too much memory",
    CallStatus.OUTPUT_LIMIT: "printed too much",
    CallStatus.KILLED: "was ended",
    CallStatus.UNSUPPORTED_VALUE: "said too much at once",
}


class HostedFile:
    """A loaded file; `start` makes one."""

    def __init__(self, sandbox: TalkingSandbox, file_name: str) -> None:
        self._sandbox = sandbox
        self._file_name = file_name
        self._is_closed = False

    @classmethod
    async def start(
        cls, backend: SandboxBackend, program: str, source: str, *, file_name: str, cpu_s: float
    ) -> "HostedFile":
        """Load `source` under the program `inside/<program>.py` in a fresh sandbox.

        Raises:
            EnvironmentFailure: the file cannot be loaded, and why.
            SandboxFailure: the sandbox broke, or the backend has none that can be talked with.
        """
        sandbox = await backend.acquire()
        if not isinstance(sandbox, TalkingSandbox):
            await sandbox.close()
            raise SandboxFailure(f"backend {backend.name!r} cannot host an environment; use `process`")
        hosted = cls(sandbox, file_name)
        code = f"{_program(program)}\nserve = make({source!r}, {file_name!r})\n"
        limits = Limits(
            wall_s=LOAD_TIMEOUT_S, cpu_s=int(cpu_s) + 10, memory_bytes=MEMORY_BYTES, result_bytes=MAX_REPLY_BYTES
        )
        try:
            loaded = await sandbox.load(code, "serve", limits)
            if loaded.status != CallStatus.OK:
                raise await hosted._failure("cannot be loaded", loaded)
        except BaseException:
            await hosted.close()
            raise
        return hosted

    async def ask(self, message: dict[str, object], timeout_s: float) -> dict[str, Any]:
        """The program's answer to a message.

        Raises:
            EnvironmentFailure: there is none in time; the file is then closed.
        """
        if self._is_closed:
            raise EnvironmentFailure(f"{self._file_name} has ended")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._sandbox.call(encode((json.dumps(message),)))
        except TimeoutError as error:
            await self.close()
            raise EnvironmentFailure(f"{self._file_name} took longer than {timeout_s:g} s") from error
        except BaseException:
            await self.close()
            raise
        if answer.status != CallStatus.OK:
            failure = await self._failure("broke", answer)
            await self.close()
            raise failure
        return json_object(_text_of(answer.value))

    async def close(self) -> None:
        """End the sandbox; safe to call twice."""
        self._is_closed = True
        await self._sandbox.close()

    async def _failure(self, what: str, result: CallResult) -> EnvironmentFailure:
        """Says in the file's own words what went wrong."""
        printed = (await self._sandbox.finish()).stderr.strip()
        printed = printed[max(0, printed.rfind(f'File "{self._file_name}"')) :]
        meaning = _MEANING.get(result.status, what)
        detail = printed[-_SHOWN_CHARS:] if printed else f"{result.status}: {result.detail}"
        return EnvironmentFailure(f"{self._file_name} {meaning}: {detail}")


@functools.cache
def _program(name: str) -> str:
    """The text of `inside/<name>.py` and what it imports, as one file: there is no package of ours in a sandbox."""
    lines = [line for part in ("common", name) for line in (_INSIDE / f"{part}.py").read_text("utf-8").splitlines()]
    return "\n".join(line for line in lines if not line.startswith("from skyscale."))


def _text_of(value: str) -> str:
    """The text that a canonical value stands for; the other side returns nothing else."""
    if not value.startswith('"'):
        raise EnvironmentFailure("the environment's answer is not text")
    return str(json.loads(value))
