"""How a run's weights are trained: all of them, or low-rank adapters beside them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyscale.wire.base import Request

Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Training(Request):
    """What of the model learns, and what it costs in memory."""

    method: Literal["full", "lora"] = "full"
    """`lora` freezes the model and trains low-rank adapters (arXiv:2106.09685); versions are then PEFT adapters."""
    lora_rank: Annotated[int, Field(ge=1, le=512)] = 16
    lora_alpha: Annotated[float, Field(gt=0, le=4096)] = 32.0
    """Adapters count `lora_alpha / lora_rank`."""
    targets: Annotated[list[Target], Field(min_length=1, max_length=7)] = [
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip
    """Which matrices of every layer get an adapter."""
    gradient_checkpointing: bool | None = None
    """Compute layers twice instead of keeping their insides; null does so on GPUs and not on CPUs."""

    sharding: Literal["none", "full"] = "none"
    """`full` divides weights, gradients and moments between the `trainer_processes` (FSDP2), not the work alone."""

    @model_validator(mode="after")
    def _adapters_are_whole(self) -> "Training":
        if self.sharding == "full" and self.method == "lora":
            raise ValueError("training.sharding 'full' is for method 'full': adapters and their moments are small")
        return self

    @model_validator(mode="after")
    def _targets_are_named_once(self) -> "Training":
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("training.targets: a matrix is named twice")
        return self
