"""Several processes that train as one: each computes the gradient of its groups, all take the same step.

    leader (rank 0)     leases, reports, publishes, checkpoints      --orders-->  followers (rank 1 ... size - 1)
    every process       its groups' gradients   --summed over all processes-->    one and the same optimizer step

- Every process knows the whole batch, so denominators are global and the sum of gradients is that of one process.
- Orders go through the leader's key-value store, where a follower may wait for hours; tensors go through collectives,
  which fail after `COLLECTIVE_S`. A process that dies so ends the leader, and the job's next attempt resumes.
- A follower never outlives its leader: the kernel kills it, and the leader ends it when it ends itself.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from skyscale.errors import Unavailable
from skyscale.trainer.metrics import TokenRecord
from skyscale.wire.base import Reply
from skyscale.wire.batches import LeasedGroup

log = logging.getLogger(__name__)

START_S, COLLECTIVE_S, ORDER_S, END_S = 300.0, 600.0, 5.0, 10.0
"""Deadlines: all processes have started; a collective; one look for an order; followers' end before they are killed."""
_PR_SET_PDEATHSIG = 1


class TensorShape(Reply):
    """A tensor that follows an order."""

    name: str
    dtype: str
    shape: list[int]


class Order(Reply):
    """What the leader tells all others to do next."""

    kind: Literal["train", "capture", "state", "base", "end"]
    """Train on groups; give one's parts of the state; take a state; begin again from the base model; end."""
    version: int = 0
    groups: list[LeasedGroup] = []
    num_steps: int = 0
    tensors: list[TensorShape] = []


@dataclass(frozen=True, slots=True)
class Place:
    """Which process of a team this is, and where the leader's store listens on this machine."""

    rank: int
    size: int
    port: int

    @staticmethod
    def parse(text: str) -> "Place":
        """From `RANK/SIZE@PORT`."""
        rank, rest = text.split("/", 1)
        size, port = rest.split("@", 1)
        return Place(int(rank), int(size), int(port))

    def __str__(self) -> str:
        return f"{self.rank}/{self.size}@{self.port}"


class Team:
    """The collectives of one process of the team; every process calls the same ones in the same order."""

    def __init__(
        self,
        rank: int,
        size: int,
        store: dist.Store,  # pyright: ignore[reportPrivateImportUsage]
        device: torch.device,
        followers: list[subprocess.Popen[bytes]],  # pyright: ignore[reportPrivateImportUsage]
    ) -> None:
        self.rank, self.size = rank, size
        self._store, self._device, self._followers = store, device, followers
        self._num_orders = 0
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=COLLECTIVE_S)
        )

    def order(self, order: Order) -> None:
        """Leader: tell the others what is next; followers have been told, so for them it does nothing."""
        if self.rank != 0:
            return
        dead = [f"{p.pid} (status {p.returncode})" for p in self._followers if p.poll() is not None]
        if dead and order.kind != "end":
            raise Unavailable(f"processes of the trainer have died: {', '.join(dead)}", code="trainer_process_died")
        self._store.set(f"order/{self._num_orders}", order.model_dump_json())
        # Whoever takes part in this order's predecessor has read the one before that.
        self._store.delete_key(f"order/{self._num_orders - 2}")
        self._num_orders += 1

    def next_order(self) -> Order:
        """Follower: wait for the leader, however long it waits for groups itself."""
        key, leader = f"order/{self._num_orders}", os.getppid()
        while True:
            try:
                self._store.wait([key], timedelta(seconds=ORDER_S))
                break
            except dist.DistStoreError:
                if os.getppid() != leader:
                    raise Unavailable("the trainer that leads this process is gone") from None
        self._num_orders += 1
        return Order.model_validate_json(self._store.get(key))

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The leader's values of a tensor in CPU memory, in every process."""
        moved = tensor.to(self._device)
        dist.broadcast(moved, 0)
        return moved.cpu()

    def total(self, number: int) -> int:
        """The sum over all processes."""
        value = torch.tensor([number], dtype=torch.int64, device=self._device)
        dist.all_reduce(value)
        return int(value)

    def most(self, number: int) -> int:
        """The largest over all processes."""
        value = torch.tensor([number], dtype=torch.int64, device=self._device)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def add_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; a process without groups adds zero."""
        works: list[dist.Work | None] = []
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            works.append(dist.all_reduce(weight.grad, async_op=True))
        for work in works:
            if work is not None:
                work.wait()

    def gather(self, records: list[TokenRecord], *, has_kl: bool) -> list[TokenRecord]:
        """The token records of all processes, one per process that has any."""
        names = [each.name for each in fields(TokenRecord) if has_kl or each.name != "kl_N"]
        columns = [torch.cat([getattr(r, name).double() for r in records]) if records else None for name in names]
        empty = torch.empty(0, dtype=torch.float64, device=self._device)
        mine = torch.stack([empty if column is None else column for column in columns])
        sizes = [torch.zeros(1, dtype=torch.int64, device=self._device) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([mine.shape[1]], device=self._device))
        longest = max(int(size) for size in sizes)
        padded = torch.nn.functional.pad(mine, (0, longest - mine.shape[1]))
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return [_record(names, part[:, : int(size)]) for part, size in zip(parts, sizes, strict=True) if int(size)]

    def close(self) -> None:
        """Leave; the leader ends the followers first."""
        if self.rank == 0:
            self.order(Order(kind="end"))
            for process in self._followers:
                _end(process)
        dist.destroy_process_group()


@contextmanager
def lead_team(size: int, device: torch.device) -> Generator[Team]:
    """Start `size - 1` followers of this process, on this machine, and lead them until the block ends."""
    # Without a name for it, gloo takes the interface of the machine's host name, which may not exist.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
        "127.0.0.1", 0, size, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=START_S)
    )
    followers: list[subprocess.Popen[bytes]] = []
    team: Team | None = None
    try:
        for rank in range(1, size):
            place = Place(rank, size, store.port)
            command = [sys.executable, "-m", "skyscale.trainer", *_own_options(), "--follow", str(place)]
            followers.append(subprocess.Popen(command))
        team = Team(0, size, store, device, followers)
        yield team
    finally:
        if team is not None:
            team.close()
        for process in followers:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def join_team(place: Place, device: torch.device) -> Generator[Team]:
    """Take one's place as a follower until the block ends."""
    die_with_leader()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = dist.TCPStore("127.0.0.1", place.port, place.size, is_master=False, timeout=timedelta(seconds=START_S))  # pyright: ignore[reportPrivateImportUsage]
    team = Team(place.rank, place.size, store, device, [])
    try:
        yield team
    finally:
        team.close()


def die_with_leader() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _own_options() -> list[str]:
    return sys.argv[1:] if sys.argv and sys.argv[0].endswith("__main__.py") else []


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        log.warning("follower %d does not end; it is killed", process.pid)
        process.kill()
        process.wait()


def _record(names: list[str], values: Tensor) -> TokenRecord:
    found: dict[str, Tensor] = dict(zip(names, values, strict=True))
    # Truth values and versions travel as numbers.
    found["clipped_N"], found["masked_N"] = found["clipped_N"] > 0, found["masked_N"] > 0
    found["version_N"] = found["version_N"].long()
    return TokenRecord(**{each.name: found.get(each.name) for each in fields(TokenRecord)})  # pyright: ignore[reportArgumentType]
