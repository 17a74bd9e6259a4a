"""The operator's clients: start runs, watch them, stop them.

`Client` blocks, `AsyncClient` does not; they have the same methods. Failures are classes of `skyscale.errors`, with
`.hint` saying what to do. Passing failures are repeated for `retry_for_s` before they are raised.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from skyscale.sdk import checkpoint_calls, downloads, problem_set_calls, rollout_calls
from skyscale.sdk import operator_calls as calls
from skyscale.sdk.compute import AsyncCompute, Compute
from skyscale.sdk.credentials import credential_for, environment_url
from skyscale.sdk.following import follow, follow_async
from skyscale.sdk.functions import AsyncFunctions, Functions
from skyscale.sdk.rollout_calls import RolloutFilters
from skyscale.sdk.sandboxes import AsyncSandboxes, Sandboxes
from skyscale.sdk.transport import AsyncTransport, Transport
from skyscale.wire.batches import BufferStats
from skyscale.wire.checkpoints import Checkpoint, CheckpointList
from skyscale.wire.episodes import EvaluationSample
from skyscale.wire.policies import PolicyPage
from skyscale.wire.problem_sets import (
    ProblemSample,
    ProblemSetList,
    ProblemSetUpload,
    ProblemSetUploaded,
    ProblemSetView,
)
from skyscale.wire.problems import ProblemPage, PublicProblem
from skyscale.wire.rollouts import RolloutDetail, RolloutPage
from skyscale.wire.runs import Event, EventPage, RunCreate, RunCreated, RunPage, RunView


class Client(Compute):
    """Blocking calls; threads may share it. Jobs, accelerators and costs are in `sdk/compute.py`."""

    def __init__(
        self, base_url: str, token: str | None = None, timeout_s: float = 30.0, retry_for_s: float = 10.0
    ) -> None:
        self.transport = Transport(base_url, token, timeout_s, retry_for_s)
        self.functions = Functions(self.transport)
        self.sandboxes = Sandboxes(self.transport)

    @classmethod
    def from_environment(cls, url: str | None = None) -> Self:
        """A client of `url` or SKYSCALE_URL, with SKYSCALE_API_KEY or the key that `skyscale login` keeps for it."""
        base_url = url or environment_url()
        return cls(base_url, credential_for(base_url))

    def create_run(self, body: RunCreate) -> RunCreated:
        """Start a run (or, with `dry_run`, only validate and resolve it)."""
        return self.transport.send(calls.create_run(body))

    def list_runs(self, cursor: str | None = None, limit: int | None = None) -> RunPage:
        """A page of runs, newest first."""
        return self.transport.send(calls.list_runs(cursor, limit))

    def get_run(self, run_id: str) -> RunView:
        """Everything there is to know of a run now."""
        return self.transport.send(calls.get_run(run_id))

    def stop_run(self, run_id: str) -> None:
        """Ask for the run's end; `get_run` tells when it has come."""
        self.transport.send(calls.stop_run(run_id))

    def reload_policy(self, run_id: str, version: int | None = None) -> None:
        """Have the policy server serve a published version, the newest by default."""
        self.transport.send(calls.reload_policy(run_id, version))

    def events(self, run_id: str, after: int | None = None, limit: int | None = None) -> EventPage:
        """Events of a run with a `seq` above `after`, oldest first."""
        return self.transport.send(calls.events(run_id, after, limit))

    def follow_events(self, run_id: str, after: int = 0) -> Generator[Event]:
        """Events as they happen, each once, until the run has ended."""
        return follow(self.transport, run_id, after)

    def policies(self, run_id: str, after: int | None = None, limit: int | None = None) -> PolicyPage:
        """Published versions of a run above `after`, oldest first."""
        return self.transport.send(calls.policies(run_id, after, limit))

    def evaluation(self, run_id: str, version: int) -> list[EvaluationSample]:
        """Held-out problems as that policy version answered them."""
        return (self.transport.send(calls.evaluation(run_id, version))).samples

    def rollouts(
        self, run_id: str, cursor: str | None = None, limit: int | None = None, **filters: Unpack[RolloutFilters]
    ) -> RolloutPage:
        """A page of the groups that a run played, newest first; a short page of a text search may still go on."""
        return self.transport.send(rollout_calls.list_rollouts(run_id, cursor, limit, filters))

    def rollout(self, run_id: str, group_id: str, *, with_tokens: bool = True) -> RolloutDetail:
        """One group with everything that is kept of it."""
        return self.transport.send(rollout_calls.get_rollout(run_id, group_id, with_tokens))

    def export_rollouts(self, run_id: str, into: Path, **filters: Unpack[RolloutFilters]) -> int:
        """Write the completions of a run to a Parquet file; its size in bytes. The file appears when it is whole."""
        return downloads.download(
            self.transport, rollout_calls.export_path(run_id), rollout_calls.query_of(filters), into
        )

    def checkpoints(self, run_id: str) -> CheckpointList:
        """The versions that a run keeps, newest first."""
        return self.transport.send(checkpoint_calls.listing(run_id))

    def pull_checkpoint(
        self, run_id: str, version: int, into: Path, tell: checkpoint_calls.Tell = lambda name, size: None
    ) -> Checkpoint:
        """Fetch and verify a version's files; a call that broke off goes on where it was. `tell` hears of bytes."""
        found = self.transport.send(checkpoint_calls.show(run_id, version))
        checkpoint_calls.pull(self.transport, found, into, tell)
        return found.checkpoint

    def problems(
        self,
        split: str | None = None,
        difficulty: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ProblemPage:
        """A page of the embedded problems, without their hidden tests."""
        return self.transport.send(calls.list_problems(split, difficulty, cursor, limit))

    def problem(self, problem_id: str) -> PublicProblem:
        """One problem, without its hidden tests."""
        return self.transport.send(calls.get_problem(problem_id))

    def problem_sets(self) -> ProblemSetList:
        """Every problem set with its current version."""
        return self.transport.send(problem_set_calls.listing())

    def problem_set(self, ref: str) -> ProblemSetView:
        """A problem set (`name` or `name@version`) with its versions."""
        return self.transport.send(problem_set_calls.show(ref))

    def sample_problems(
        self,
        ref: str,
        split: str | None = None,
        difficulty: str | None = None,
        tag: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ProblemSample:
        """A page of a set's problems, without their hidden tests."""
        return self.transport.send(problem_set_calls.sample(ref, split, difficulty, tag, cursor, limit))

    def delete_problem_set(self, ref: str) -> None:
        """Remove a set, or one version of it; Conflict while a live run plays it."""
        self.transport.send(problem_set_calls.delete(ref))

    def upload_problem_set(
        self,
        path: str | Path,
        options: ProblemSetUpload,
        tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
    ) -> ProblemSetUploaded:
        """Send a JSONL file; `tell` hears of the progress. The same content again is the same version."""
        return problem_set_calls.upload(self.transport, Path(path), options, tell)

    def buffer_stats(self, run_id: str) -> BufferStats:
        """A run's trajectories by what became of them."""
        return self.transport.send(calls.buffer_stats(run_id))

    def health(self) -> None:
        """Return if the control plane is up; raise Unavailable otherwise."""
        self.transport.send(calls.health())

    def close(self) -> None:
        """Close every connection."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(AsyncCompute):
    """The same calls without blocking; belongs to one event loop."""

    def __init__(
        self, base_url: str, token: str | None = None, timeout_s: float = 30.0, retry_for_s: float = 10.0
    ) -> None:
        self.transport = AsyncTransport(base_url, token, timeout_s, retry_for_s)
        self.functions = AsyncFunctions(self.transport)
        self.sandboxes = AsyncSandboxes(self.transport)

    @classmethod
    def from_environment(cls, url: str | None = None) -> Self:
        """A client of `url` or SKYSCALE_URL, with SKYSCALE_API_KEY or the key that `skyscale login` keeps for it."""
        base_url = url or environment_url()
        return cls(base_url, credential_for(base_url))

    async def create_run(self, body: RunCreate) -> RunCreated:
        """Start a run (or, with `dry_run`, only validate and resolve it)."""
        return await self.transport.send(calls.create_run(body))

    async def list_runs(self, cursor: str | None = None, limit: int | None = None) -> RunPage:
        """A page of runs, newest first."""
        return await self.transport.send(calls.list_runs(cursor, limit))

    async def get_run(self, run_id: str) -> RunView:
        """Everything there is to know of a run now."""
        return await self.transport.send(calls.get_run(run_id))

    async def stop_run(self, run_id: str) -> None:
        """Ask for the run's end; `get_run` tells when it has come."""
        await self.transport.send(calls.stop_run(run_id))

    async def reload_policy(self, run_id: str, version: int | None = None) -> None:
        """Have the policy server serve a published version, the newest by default."""
        await self.transport.send(calls.reload_policy(run_id, version))

    async def events(self, run_id: str, after: int | None = None, limit: int | None = None) -> EventPage:
        """Events of a run with a `seq` above `after`, oldest first."""
        return await self.transport.send(calls.events(run_id, after, limit))

    def follow_events(self, run_id: str, after: int = 0) -> AsyncGenerator[Event]:
        """Events as they happen, each once, until the run has ended."""
        return follow_async(self.transport, run_id, after)

    async def policies(self, run_id: str, after: int | None = None, limit: int | None = None) -> PolicyPage:
        """Published versions of a run above `after`, oldest first."""
        return await self.transport.send(calls.policies(run_id, after, limit))

    async def evaluation(self, run_id: str, version: int) -> list[EvaluationSample]:
        """Held-out problems as that policy version answered them."""
        return (await self.transport.send(calls.evaluation(run_id, version))).samples

    async def rollouts(
        self, run_id: str, cursor: str | None = None, limit: int | None = None, **filters: Unpack[RolloutFilters]
    ) -> RolloutPage:
        """A page of the groups that a run played, newest first; a short page of a text search may still go on."""
        return await self.transport.send(rollout_calls.list_rollouts(run_id, cursor, limit, filters))

    async def rollout(self, run_id: str, group_id: str, *, with_tokens: bool = True) -> RolloutDetail:
        """One group with everything that is kept of it."""
        return await self.transport.send(rollout_calls.get_rollout(run_id, group_id, with_tokens))

    async def export_rollouts(self, run_id: str, into: Path, **filters: Unpack[RolloutFilters]) -> int:
        """Write the completions of a run to a Parquet file; its size in bytes. The file appears when it is whole."""
        return await downloads.download_async(
            self.transport, rollout_calls.export_path(run_id), rollout_calls.query_of(filters), into
        )

    async def checkpoints(self, run_id: str) -> CheckpointList:
        """The versions that a run keeps, newest first."""
        return await self.transport.send(checkpoint_calls.listing(run_id))

    async def pull_checkpoint(
        self, run_id: str, version: int, into: Path, tell: checkpoint_calls.Tell = lambda name, size: None
    ) -> Checkpoint:
        """Fetch and verify a version's files in a thread, where `tell` is called too."""
        found = await self.transport.send(checkpoint_calls.show(run_id, version))
        options = self.transport.options
        transport = Transport(options.base_url, options.token, options.timeout_s, 0.0)
        try:
            await asyncio.to_thread(checkpoint_calls.pull, transport, found, into, tell)
        finally:
            transport.close()
        return found.checkpoint

    async def problems(
        self,
        split: str | None = None,
        difficulty: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ProblemPage:
        """A page of the embedded problems, without their hidden tests."""
        return await self.transport.send(calls.list_problems(split, difficulty, cursor, limit))

    async def problem(self, problem_id: str) -> PublicProblem:
        """One problem, without its hidden tests."""
        return await self.transport.send(calls.get_problem(problem_id))

    async def problem_sets(self) -> ProblemSetList:
        """Every problem set with its current version."""
        return await self.transport.send(problem_set_calls.listing())

    async def problem_set(self, ref: str) -> ProblemSetView:
        """A problem set (`name` or `name@version`) with its versions."""
        return await self.transport.send(problem_set_calls.show(ref))

    async def sample_problems(
        self,
        ref: str,
        split: str | None = None,
        difficulty: str | None = None,
        tag: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> ProblemSample:
        """A page of a set's problems, without their hidden tests."""
        return await self.transport.send(problem_set_calls.sample(ref, split, difficulty, tag, cursor, limit))

    async def delete_problem_set(self, ref: str) -> None:
        """Remove a set, or one version of it; Conflict while a live run plays it."""
        await self.transport.send(problem_set_calls.delete(ref))

    async def upload_problem_set(
        self,
        path: str | Path,
        options: ProblemSetUpload,
        tell: Callable[[str, int, int], None] = lambda phase, done, total: None,
    ) -> ProblemSetUploaded:
        """Send a JSONL file from a thread, where `tell` is called too. The same content again is the same version."""
        options_ = self.transport.options
        transport = Transport(options_.base_url, options_.token, options_.timeout_s, 0.0)
        try:
            return await asyncio.to_thread(problem_set_calls.upload, transport, Path(path), options, tell)
        finally:
            transport.close()

    async def buffer_stats(self, run_id: str) -> BufferStats:
        """A run's trajectories by what became of them."""
        return await self.transport.send(calls.buffer_stats(run_id))

    async def health(self) -> None:
        """Return if the control plane is up; raise Unavailable otherwise."""
        await self.transport.send(calls.health())

    async def close(self) -> None:
        """Close every connection."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
