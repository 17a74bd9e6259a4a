"""What vLLM's worker process does for us; vLLM mixes this class into its own worker by name."""

import logging
from pathlib import Path
from typing import Any

from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

SHARED_MEMORY = "/dev/shm/psm_"
"""Where Linux shows what Python's `SharedMemory` makes."""


class WorkerExtension:
    """Called from `engines/vllm.py` through `collective_rpc`."""

    def shared_memory(self: Any) -> list[str]:
        """The pieces of shared memory by which this process and vLLM's others talk."""
        lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        return sorted({line[line.index(SHARED_MEMORY) :] for line in lines if SHARED_MEMORY in line})

    def replace_weights(self: Any, folder: str) -> None:
        """Load the safetensors in `folder` over the weights in memory; nothing may be running meanwhile."""
        # Tables of positions and tied heads are no tensors of a checkpoint, of which it would warn at every version.
        logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)
        self.reload_weights(weights_path=folder)
        if current_platform.is_cpu():
            _repack_tied_head(self.get_model())


def _repack_tied_head(model: Any) -> None:
    # On a CPU each matrix is packed once when it is loaded. A head that shares the embedding's weights is no tensor of
    # the checkpoint, so vLLM 0.32's reload passes it by, and it would go on with the weights of the first version.
    head = getattr(model, "lm_head", None)
    method = getattr(head, "quant_method", None)
    if method is not None:
        method.process_weights_after_loading(head)
