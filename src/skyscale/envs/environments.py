"""Every kind of environment behind one door: checked before a run exists, opened for a group, scored.

The files of users run in sandboxes of the judge's own backend, at most `concurrency` of them working at once. Checking
is trying: a file is loaded and asked once, a service is reset and closed once.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection

import httpx

from skyscale.envs import reward_file
from skyscale.envs.environment import Session, Stepped, Task
from skyscale.envs.http_environment import HttpSession, origin_of
from skyscale.envs.python_environment import PythonSession
from skyscale.errors import EnvironmentFailure, Invalid, SandboxFailure
from skyscale.sandboxes.sandbox import SandboxBackend
from skyscale.wire.environments import Environment, HttpEnvironment, PythonEnvironment, RewardFileEnvironment

MAX_CONNECTIONS = 256
GATE_TIMEOUT_S = 60.0
"""How long a call waits for its turn on a busy machine before it is told to come back."""


class Environments:
    """Makes sessions and scores answers."""

    def __init__(self, backend: SandboxBackend, *, concurrency: int, origins: Collection[str]) -> None:
        """`origins` are those that environments of kind `http` may be at."""
        self._backend = backend
        # A pool of its own: a slow service must not hold up what the control plane asks of policy servers.
        limits = httpx.Limits(max_connections=MAX_CONNECTIONS)
        self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)
        self._gate = asyncio.Semaphore(concurrency)
        self._origins = {origin_of(origin) for origin in origins}

    async def close(self) -> None:
        """Close the connections to services."""
        await self._http.aclose()

    async def check(self, environment: Environment, task: Task) -> None:
        """Try the environment on a task.

        Raises:
            Invalid: it does not work, and why.
        """
        try:
            if environment.kind == "reward_file":
                (scored,) = await self.scores(environment, task, [""])
                if scored.trouble:
                    raise EnvironmentFailure(f"an empty answer cannot be scored: {scored.trouble}")
            elif environment.kind != "code":
                await self._try_reset(environment, task)
        except EnvironmentFailure as failure:
            raise Invalid(f"environment: {failure.detail}", code="environment_refused") from failure

    async def _try_reset(self, environment: PythonEnvironment | HttpEnvironment, task: Task) -> None:
        if environment.kind == "http" and origin_of(environment.url) not in self._origins:
            raise Invalid(
                f"environment.url: {origin_of(environment.url)} is not an origin that this server may call",
                code="environment_origin",
                hint="The operator allows origins with SKYSCALE_ENVIRONMENT_ORIGINS=http://host:port,...",
            )
        session = self.session(environment, "check")
        try:
            await session.reset(task, 2)
        finally:
            await session.close()

    def session(self, environment: PythonEnvironment | HttpEnvironment, group_id: str) -> Session:
        """A session that was not reset yet; whoever asked for it closes it."""
        if environment.kind == "python":
            return PythonSession(self._backend, environment, self.turn)
        return HttpSession(self._http, environment, group_id)

    async def scores(self, environment: RewardFileEnvironment, task: Task, completions: list[str]) -> list[Stepped]:
        """What a reward file says of each answer."""
        async with self.turn():
            return await reward_file.score(self._backend, environment, task, completions)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for leave to make a sandbox work. Raises SandboxFailure when it takes too long."""
        try:
            async with asyncio.timeout(GATE_TIMEOUT_S):
                await self._gate.acquire()
        except TimeoutError as error:
            raise SandboxFailure(f"no sandbox was free for {GATE_TIMEOUT_S:g} s") from error
        try:
            yield
        finally:
            self._gate.release()
