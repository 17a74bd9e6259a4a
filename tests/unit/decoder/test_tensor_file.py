"""Our pieces of a safetensors file are the library's file."""

import safetensors.torch
import torch

from skyscale.decoder.tensor_file import safetensors_pieces


def test_the_pieces_are_what_the_library_writes() -> None:
    fused = torch.arange(24, dtype=torch.float32).view(6, 4)
    tensors = {
        "z.weight": fused[2:5], "a.weight": fused[:2].clone(), "step": torch.tensor(3.0), "empty": torch.empty(0, 4),
        "half": torch.randn(3, 5).bfloat16(), "random/cpu": torch.arange(7, dtype=torch.uint8),
    }  # fmt: skip
    for metadata in (None, {"format": "pt"}):
        written = b"".join(safetensors_pieces(tensors, metadata))
        # The library refuses views that share memory, so it is given copies.
        assert written == safetensors.torch.save({name: each.clone() for name, each in tensors.items()}, metadata)


def test_pieces_lie_in_the_tensors_themselves() -> None:
    tensor = torch.zeros(4)
    _, numbers = safetensors_pieces({"x": tensor})
    tensor.fill_(1.0)
    assert bytes(numbers) == bytes(tensor.numpy())
