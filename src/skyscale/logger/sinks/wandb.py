"""Weights & Biases: one run of the same id, resumed by a restarted logger; offline where no key is given.

`WANDB_API_KEY`, `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_BASE_URL` and `WANDB_MODE` mean what they mean everywhere.
"""

import os
from collections.abc import Mapping
from typing import Any

import wandb

from skyscale.logger.sink import Place

STEP = "policy_version"
"""The axis of every chart; W&B's own step would drop an evaluation that ends after the next version's metrics."""


class WandbSink:
    """A run of W&B."""

    def __init__(self, place: Place) -> None:
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        self._folder = place.folder
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "skyscale"),
            id=place.spec.run_id,
            name=place.spec.run_id,
            config=place.spec.model_dump(mode="json"),
            dir=str(place.folder),
            mode=mode,
            resume="allow" if mode == "online" else None,
            # Numbers of this process say nothing about the run, and git or code of the host is nobody's business.
            settings=wandb.Settings(silent=True, x_disable_stats=True, disable_git=True, disable_code=True),
        )
        self._run.define_metric("*", step_metric=STEP)

    def scalars(self, step: int, at_s: float, values: Mapping[str, float]) -> None:
        """See `Sink.scalars`."""
        self._run.log({STEP: step, "time": at_s, **values})

    def where(self) -> str:
        """See `Sink.where`."""
        return self._run.url or f"wandb sync {self._folder}/wandb/offline-run-*"

    def close(self) -> None:
        """See `Sink.close`."""
        self._run.finish()
