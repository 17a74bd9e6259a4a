"""A safetensors file as pieces that lie in the tensors themselves: whoever writes them copies nothing before.

The layout is https://github.com/huggingface/safetensors: the header's length, the header in JSON, the numbers. With
wide types first every number is aligned, as the library's own files are, byte for byte.
"""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

Piece = bytes | memoryview

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16",
    torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def safetensors_pieces(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> list[Piece]:
    """The file that holds `tensors`, which must be in CPU memory and stay as they are until it is written."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    numbers: list[Piece] = []
    end = 0
    for name, tensor in ordered:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        # A view as bytes needs a dimension, and numpy knows no bfloat16.
        numbers.append(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *numbers]
