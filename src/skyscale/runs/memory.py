"""How much of a GPU's memory a run's trainer takes, before anything is started. Pure; bytes unless said otherwise.

    weights      2 P in bf16, and 2 P more for the reference model of a KL term         P parameters of the model
    optimizer    16 W: fp32 master, fp32 gradient, two moments                          W trained parameters
    in flight    2 B: the largest matrix's gradient on its way to its master            B elements of that matrix
    layers       2 T D per layer (its input), and one layer's insides                   T tokens of a micro-batch
                 2 T (2 Q + A + 8 D + 4 M); every layer's without checkpointing
    mask         3 T R: truth values and bf16                                           R tokens of the longest row
    logits       6 C for a chunk (fp32, and its bf16 copy); fp32 gradient of the head 4 V D when it is trained
    overhead     1.5 GiB of CUDA, and 8 % of all the above lost between blocks

With `sharding: full` the fp32 side is divided between N processes, and what computes is gathered for a while:

    weights      2 R + 6 L: the root's, and a block's with the next on its way           R, L parameters of root, block
                 (gathered and laid out); with a reference 2 P / N + 2 R more
    optimizer    16 P / N
    in flight    2 V D + 10 L during the layers (gradients, summed in fp32); (6 + 4 / N) R when their inputs are gone

Q, A, M, D, V: widths of query/key/value, attention's output, MLP, model, vocabulary. W is P for full training, and
rank * (in + out) over all adapted matrices for LoRA. It is meant to be right within about a tenth, on the safe side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from skyscale.errors import Invalid
from skyscale.jobs import gpus
from skyscale.wire.runs import RunSpec
from skyscale.wire.training import Training

GIB = 1024**3
MICRO_BATCH_TOKENS, MAX_ROW_TOKENS, CHUNK_ELEMENTS = 16384, 8192, 1 << 27
"""The trainer's own sizes on a GPU (`trainer/step.py`, `trainer/logprobs.py`); sharded micro-batches hold a row's."""
CUDA, LOST = int(1.5 * GIB), 0.08


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a `config.json` decides memory."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocab: int
    is_tied: bool

    @staticmethod
    def of(config: Mapping[str, Any]) -> "Shape":
        """The shape in a parsed `config.json`. Raises KeyError or ValueError when it is not there."""
        heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
        return Shape(
            width=width,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or width // heads),
            mlp=int(config["intermediate_size"]),
            vocab=int(config["vocab_size"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of a layer's matrices by their Hugging Face names."""
        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (query, self.width), "k_proj": (kv, self.width), "v_proj": (kv, self.width),
            "o_proj": (self.width, query), "gate_proj": (self.mlp, self.width), "up_proj": (self.mlp, self.width),
            "down_proj": (self.width, self.mlp),
        }  # fmt: skip

    @property
    def block(self) -> int:
        """Parameters of a layer, but for biases and the norms of heads, which do not matter here."""
        return sum(rows * columns for rows, columns in self.matrices.values()) + 2 * self.width

    @property
    def root(self) -> int:
        """Parameters outside of layers."""
        return self.vocab * self.width * (1 if self.is_tied else 2) + self.width

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.layers * self.block + self.root


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes by what they are for."""

    weights: int
    optimizer: int
    in_flight: int
    layers: int
    mask: int
    logits: int
    overhead: int

    @property
    def total(self) -> int:
        """Their sum."""
        return sum(getattr(self, each.name) for each in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{each.name.replace('_', ' ')} {getattr(self, each.name) / GIB:.1f}" for each in fields(self))


def estimate(shape: Shape, training: Training, *, has_reference: bool, row_tokens: int, processes: int = 1) -> Estimate:
    """Of one of the trainer's `processes`, each on a GPU; `row_tokens` is the longest packed row, with its prompt."""
    is_lora, is_sharded = training.method == "lora", training.sharding == "full" and processes > 1
    pairs = [sum(shape.matrices[name]) for name in training.targets]
    trained = training.lora_rank * sum(pairs) * shape.layers if is_lora else shape.parameters
    tokens = max(MAX_ROW_TOKENS if is_sharded else MICRO_BATCH_TOKENS, row_tokens)
    attended = shape.heads * shape.head_dim
    query_key_value = attended + 2 * shape.kv_heads * shape.head_dim
    inside = 2 * tokens * (2 * query_key_value + attended + 8 * shape.width + 4 * shape.mlp)
    largest = shape.vocab * shape.width
    recomputes = training.gradient_checkpointing is not False
    parts = {
        "weights": 2 * shape.parameters * (2 if has_reference else 1) + (2 * trained if is_lora else 0),
        "optimizer": 16 * trained,
        "in_flight": 0 if is_lora else 2 * largest,
        "layers": 2 * tokens * shape.width * shape.layers + inside if recomputes else inside * shape.layers,
        "mask": 3 * tokens * row_tokens,
        "logits": 6 * CHUNK_ELEMENTS + (0 if is_lora else 4 * largest),
    }
    if is_sharded:
        passing = parts["layers"] + parts["mask"] + parts["logits"]
        at_the_end = 6 * shape.root + 4 * shape.root // processes
        parts |= {
            "weights": 2 * shape.root + 6 * shape.block
            + (2 * shape.parameters // processes + 2 * shape.root if has_reference else 0),
            "optimizer": 16 * trained // processes,
            "in_flight": max(2 * largest + 10 * shape.block, at_the_end - passing),
        }  # fmt: skip
    return Estimate(**parts, overhead=CUDA + int(LOST * sum(parts.values())))


def require_fit(spec: RunSpec, config: Mapping[str, Any]) -> None:
    """Raise Invalid, with the numbers, when the run's trainer cannot fit its GPU; says nothing of CPUs or `any`.

    A `config` that is not understood is left to those who load it.
    """
    memory_gb = gpus.MEMORY_GB.get(spec.gpu_model.partition(":")[0])
    if memory_gb is None or spec.mode == "evaluate":
        return
    try:
        shape = Shape.of(config)
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return
    longest = (spec.sampling.max_new_tokens or 0) * spec.max_turns
    # What a row holds beyond one completion is not known yet: at least that much, and the trainer cuts larger trees.
    needed = estimate(
        shape,
        spec.training,
        has_reference=spec.algorithm.kl_coefficient > 0,
        row_tokens=max(MAX_ROW_TOKENS, longest),
        processes=spec.trainer_processes,
    )
    # A GPU's name counts gigabytes in powers of two, of which the driver keeps a little.
    if needed.total > memory_gb * GIB:
        raise Invalid(
            f"gpu_model: {_who(spec)} needs about {needed.total / GIB:.0f} GiB and {spec.gpu_model} has {memory_gb}: "
            f"{needed} (GiB)",
            code="gpu_memory",
            hint=_advice(spec, shape, memory_gb),
        )


def _who(spec: RunSpec) -> str:
    return "each process of the trainer" if spec.training.sharding == "full" else "the trainer"


def _advice(spec: RunSpec, shape: Shape, memory_gb: int) -> str:
    choices: list[str] = []
    has_reference = spec.algorithm.kl_coefficient > 0
    lora = estimate(shape, Training(method="lora"), has_reference=has_reference, row_tokens=MAX_ROW_TOKENS).total
    if spec.training.method == "full" and lora <= memory_gb * GIB:
        choices.append(f'training: {{"method": "lora"}} needs about {lora / GIB:.0f} GiB')
    for processes in range(2, gpus.MAX_COUNT + 1) if spec.training.method == "full" else ():
        divided = Training(sharding="full")
        each = estimate(
            shape, divided, has_reference=has_reference, row_tokens=MAX_ROW_TOKENS, processes=processes
        ).total  # fmt: skip
        if each <= memory_gb * GIB:
            choices.append(
                f'training: {{"sharding": "full"}} with trainer_processes {processes} needs about '
                f"{each / GIB:.0f} GiB on each of as many GPUs"
            )
            break
    return "; ".join([*choices, "or take a larger GPU" if choices else "Take a larger GPU or a smaller model"]) + "."
