"""Groups as prefix trees: every distinct prefix of a group is computed once, and the numbers stay exactly the same.

The completions of a group share the prompt and, usually, much of their beginnings. Sorted, they are the depth-first
walk of a tree of tokens, and that walk is the packed row:

    prompt  p0 p1          row       p0 p1 a  b  d          (c and e predict nothing, so they are not inputs)
    a b c                  position  0  1  2  3  3
    a d e                  last      4  4  4  3  4          (a token is seen by the tokens i with j <= i <= last[j])

- A token attends to its ancestors and itself, so its hidden state is that of the plain sequence it lies on.
- A node is a distinct (prefix, next token) pair; its log-probability is computed once, from `source_K` and `target_K`.
  Each token of each trajectory points to its node with `node_N` and has its own engine logprob and advantage.
- Tokens that the environment wrote between the turns of an episode are inputs like any other, and nothing points to
  their nodes: they enter neither loss nor metrics, and their logits are not computed.
- Rows of similar length share a micro-batch; a micro-batch never exceeds the token budget unless one row does.
- On a GPU its rows are padded to the longest. On a CPU, where no kernel wants them equal, they are joined to one line
  without padding, which is a quarter less to compute on short rows (see `tree_attention`).

Letters: B rows (joined ones are one), T tokens of the longest row (of the line), K nodes, N completion tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skyscale.trainer.episodes import Lesson
from skyscale.wire.batches import Trajectory


@dataclass(slots=True)
class Row:
    """One packed row: a prompt and completions below it."""

    ids: list[int]
    positions: list[int]
    last: list[int]
    source: list[int] = field(default_factory=list[int])
    target: list[int] = field(default_factory=list[int])
    node: list[int] = field(default_factory=list[int])
    engine_logprobs: list[float] = field(default_factory=list[float])
    advantages: list[float] = field(default_factory=list[float])
    versions: list[int] = field(default_factory=list[int])
    lengths: list[int] = field(default_factory=list[int])
    """Tokens of each sequence, in the order of `node`."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rows of similar length as tensors on one device."""

    ids_BT: Tensor
    positions_BT: Tensor
    last_BT: Tensor
    """Counted from the beginning of each row."""
    joined: tuple[int, ...]
    """Lengths of the rows that are one line here; empty where rows are padded."""
    source_K: Tensor
    """Index into the flattened [B*T] hidden states."""
    target_K: Tensor
    node_N: Tensor
    engine_logprob_N: Tensor
    advantage_N: Tensor
    version_N: Tensor
    sequence_N: Tensor
    """Which sequence of this micro-batch the token belongs to, 0 ... num_sequences - 1."""
    num_sequences: int

    @property
    def num_tokens(self) -> int:
        """Completion tokens."""
        return self.node_N.numel()


def pack(lesson: Lesson, max_row_tokens: int) -> list[Row]:
    """The group's rows: none if it teaches nothing, else one, or more if the tree is larger than `max_row_tokens`.

    A row repeats the prompt; a sequence is never cut.
    """
    if not lesson.episodes:
        return []
    by_ids: dict[tuple[int, ...], list[tuple[Trajectory, float]]] = {}
    for episode, advantage in lesson.episodes:
        by_ids.setdefault(tuple(episode.completion_ids), []).append((episode, advantage))
    completions = sorted(by_ids)
    builder = _TreeBuilder(lesson.prompt_ids, max_row_tokens)
    for ids, following in zip(completions, [*completions[1:], ()], strict=True):
        builder.add(ids, by_ids[ids], has_child=following[: len(ids)] == ids)
    return builder.finish()


def micro_batches(rows: Iterable[Row], *, max_tokens: int, device: torch.device, are_joined: bool) -> list[MicroBatch]:
    """Rows, longest first, cut where they would exceed `max_tokens`, padding included."""
    batches: list[list[Row]] = []
    num_tokens = 0
    for row in sorted((row for row in rows if row.node), key=lambda row: -len(row.ids)):
        added = len(row.ids) if are_joined or not batches else len(batches[-1][0].ids)
        if batches and num_tokens + added <= max_tokens:
            batches[-1].append(row)
            num_tokens += added
        else:
            batches.append([row])
            num_tokens = len(row.ids)
    return [_collate(batch, device, are_joined=are_joined) for batch in batches]


class _TreeBuilder:
    """Walks sorted completions and keeps the path from the prompt to the newest token."""

    def __init__(self, prompt_ids: list[int], max_row_tokens: int) -> None:
        self._prompt_ids = prompt_ids
        self._max_row_tokens = max_row_tokens
        self._rows: list[Row] = []
        self._has_gaps = False
        self._begin_row()

    def add(self, ids: tuple[int, ...], episodes: list[tuple[Trajectory, float]], *, has_child: bool) -> None:
        """Add a completion and the episodes (with advantages) that made it; it must sort after the previous one."""
        shared = _shared_prefix(self._ids, ids)
        if self._rows[-1].node and len(self._rows[-1].ids) + len(ids) - shared > self._max_row_tokens:
            self._close_path(0)
            self._begin_row()
            shared = 0
        self._close_path(shared)
        self._ids = ids
        self._grow(ids, shared, num_inputs=len(ids) if has_child else len(ids) - 1)
        row = self._rows[-1]
        for episode, advantage in episodes:
            for sampled in _sampled_spans(episode):
                row.node += self._nodes[sampled]
                row.engine_logprobs += episode.logprobs[sampled]
                row.versions += episode.versions[sampled]
            self._has_gaps |= bool(episode.turns)
            row.advantages += [advantage] * episode.num_sampled
            row.lengths.append(episode.num_sampled)

    def _grow(self, ids: tuple[int, ...], shared: int, num_inputs: int) -> None:
        """Add the nodes below depth `shared`; the first `num_inputs` tokens of `ids` are needed as inputs too."""
        row = self._rows[-1]
        for depth in range(shared, len(ids)):
            row.source.append(self._inputs[depth])
            row.target.append(ids[depth])
            self._nodes.append(len(row.target) - 1)
            if depth < num_inputs:
                self._inputs.append(len(row.ids))
                row.ids.append(ids[depth])
                row.positions.append(len(self._prompt_ids) + depth)
                row.last.append(-1)

    def finish(self) -> list[Row]:
        """The rows, complete."""
        self._close_path(0)
        if self._has_gaps:
            for row in self._rows:
                _drop_unused_nodes(row)
        return self._rows

    def _begin_row(self) -> None:
        num_prompt = len(self._prompt_ids)
        self._rows.append(Row(list(self._prompt_ids), list(range(num_prompt)), [-1] * num_prompt))
        self._ids: tuple[int, ...] = ()
        self._nodes: list[int] = []
        # _inputs[d] is the row index of the token before depth d; _inputs[0] is the prompt's last token.
        self._inputs = [num_prompt - 1]

    def _close_path(self, depth: int) -> None:
        """Leave the nodes deeper than `depth`: whatever comes after is not below them."""
        row = self._rows[-1]
        for index in self._inputs[depth + 1 :]:
            row.last[index] = len(row.ids) - 1
        if depth == 0:
            row.last[: len(self._prompt_ids)] = [len(row.ids) - 1] * len(self._prompt_ids)
        del self._inputs[depth + 1 :], self._nodes[depth:]


def _sampled_spans(episode: Trajectory) -> list[slice]:
    """The tokens that the model sampled."""
    return [slice(turn.start, turn.end) for turn in episode.turns] or [slice(0, len(episode.completion_ids))]


def _drop_unused_nodes(row: Row) -> None:
    used = sorted(set(row.node))
    place = {node: index for index, node in enumerate(used)}
    row.source = [row.source[node] for node in used]
    row.target = [row.target[node] for node in used]
    row.node = [place[node] for node in row.node]


def _shared_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def _collate(rows: list[Row], device: torch.device, *, are_joined: bool) -> MicroBatch:
    width = max(len(row.ids) for row in rows)
    nodes_before = begin = 0
    source: list[int] = []
    node: list[int] = []
    for row in rows:
        source += [begin + position for position in row.source]
        node += [nodes_before + n for n in row.node]
        nodes_before += len(row.target)
        begin += len(row.ids) if are_joined else width

    def lined(lists: Iterable[list[int]], fill: int) -> Tensor:
        if are_joined:
            return torch.tensor([[value for values in lists for value in values]], device=device)
        return torch.tensor([values + [fill] * (width - len(values)) for values in lists], device=device)

    lengths = torch.tensor([length for row in rows for length in row.lengths], device=device)

    def joined(lists: Iterable[list[float]] | Iterable[list[int]], dtype: torch.dtype) -> Tensor:
        return torch.tensor([value for values in lists for value in values], dtype=dtype, device=device)

    return MicroBatch(
        ids_BT=lined((row.ids for row in rows), 0),
        positions_BT=lined((row.positions for row in rows), 0),
        # Padding sees padding, so that no row of the softmax is empty; nothing else does, since it comes last.
        last_BT=lined((row.last for row in rows), width - 1),
        joined=tuple(len(row.ids) for row in rows) if are_joined else (),
        source_K=torch.tensor(source, device=device),
        target_K=joined((row.target for row in rows), torch.int64),
        node_N=torch.tensor(node, device=device),
        engine_logprob_N=joined((row.engine_logprobs for row in rows), torch.float32),
        advantage_N=joined((row.advantages for row in rows), torch.float32),
        version_N=joined((row.versions for row in rows), torch.int64),
        sequence_N=torch.arange(lengths.numel(), device=device).repeat_interleave(lengths),
        num_sequences=lengths.numel(),
    )
