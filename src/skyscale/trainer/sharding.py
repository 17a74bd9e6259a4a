"""Weights, gradients and moments divided between the processes of a team: FSDP2 over each block and over the root.

- A block is whole only while it computes: gathered before its forward and its backward pass, then dropped. The root's
  parameters (embedding, head, last norm) stay whole from a forward pass to the end of its backward pass, since the head
  is multiplied outside of `forward`; after every change to the weights they are dropped too (`drop_gathered`).
- Collectives sit in every layer, so all processes make the same number of passes: who has fewer rows computes `blank`s.
- The shard is the fp32 master: gathered in the compute type, its gradient summed (denominators are global) in fp32.
- torch's part of this is imported where it is needed: it costs every other trainer's start almost a second of CPU.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from skyscale.decoder.checkpoint import each_weight
from skyscale.decoder.config import DecoderConfig
from skyscale.decoder.model import Decoder
from skyscale.trainer.packing import MicroBatch


def shard(model: Decoder, size: int, device: torch.device, compute_dtype: torch.dtype | None = None) -> None:
    """Divide `model` between the `size` processes of the process group, in place; its names stay as they are.

    It computes in `compute_dtype` (None: as the weights are). On the meta device nothing is held until `to_empty`.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    if device.type == "cuda":
        # FSDP takes the current device, whatever it is told.
        torch.cuda.set_device(device)
    mesh = init_device_mesh(device.type, (size,))
    policy = MixedPrecisionPolicy(param_dtype=compute_dtype, reduce_dtype=torch.float32)
    for module in (*model.blocks, model):
        sharded = fully_shard(module, mesh=mesh, mp_policy=policy)
        assert isinstance(sharded, FSDPModule)
        # gloo knows no mean and no scaled sum; a factor of one makes both of them the plain sum.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)


def load_sharded(
    folder: Path, size: int, device: torch.device, *, dtype: torch.dtype, compute_dtype: torch.dtype | None = None
) -> Decoder:
    """The model in `folder`, divided, its parts in `dtype` on `device`; one whole weight at a time is in memory.

    Raises:
        Invalid: as `decoder.checkpoint.load_decoder`.
    """
    with torch.device("meta"):
        model = Decoder(DecoderConfig.from_folder(folder)).to(dtype)
    shard(model, size, device, compute_dtype)
    model.to_empty(device=device)
    parameters = dict(model.named_parameters())
    for name, weight in each_weight(model.config, folder, dtype=dtype):
        with torch.no_grad():
            parameters[name].copy_(part(weight, parameters[name]))
    return model


def drop_gathered(model: Decoder) -> None:
    """Have the root gathered again by the next pass, since the weights have changed."""
    from torch.distributed.fsdp import FSDPModule

    assert isinstance(model, FSDPModule)
    model.reshard()


def is_part(tensor: Tensor) -> bool:
    """Whether this is one process's part of a tensor."""
    return type(tensor) not in (Tensor, nn.Parameter)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor: gathered from all processes, which must all call this, or the tensor itself if it is whole."""
    if not is_part(tensor):
        return tensor
    from torch.distributed.tensor import DTensor

    assert isinstance(tensor, DTensor)
    return tensor.full_tensor()


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole `tensor`, divided as `like` is, perhaps a view; needs no other process."""
    if not is_part(like):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def blank(device: torch.device) -> MicroBatch:
    """A row of one token without any loss: a pass through all layers, and a gradient of zero."""
    one, index = torch.zeros(1, 1, dtype=torch.int64, device=device), torch.zeros(1, dtype=torch.int64, device=device)
    nothing, no_numbers = index[:0], torch.zeros(0, device=device)
    return MicroBatch(
        ids_BT=one, positions_BT=one, last_BT=one, joined=(), source_K=index, target_K=index, node_N=nothing,
        engine_logprob_N=no_numbers, advantage_N=no_numbers, version_N=nothing, sequence_N=nothing, num_sequences=0,
    )  # fmt: skip
