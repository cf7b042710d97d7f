"""Tensors to a safetensors file, in pieces: no second copy in memory, and the interpreter is free while it writes.

source  the format: https://github.com/huggingface/safetensors#format: 8 bytes of header length, little endian; a JSON
        header of name → dtype, shape, place; the tensors, one after another
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.train.checkpoint.folder import Entry

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
PIECE = 2**24  # bytes that are hashed and written at a time


def to_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in host memory, row after row, that later steps do not change. Tensors of one memory stay one.

    Plain layout: channels last is a choice of the device at hand, not of the weights.
    """
    copies: dict[tuple[object, ...], Tensor] = {}
    found = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr() or name, tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if key not in copies:
            copies[key] = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach(), non_blocking=True)
        found[name] = copies[key]
    for device in {tensor.device for tensor in tensors.values() if tensor.is_cuda}:
        torch.cuda.synchronize(device)
    return found


def same_as(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, str]:
    """Name of a tensor → name of the one among `others` that it is, of host copies made together."""
    names = {id(other): name for name, other in others.items()}
    return {name: names[id(tensor)] for name, tensor in tensors.items() if id(tensor) in names}


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> Entry:
    """A new file of contiguous host tensors. Raises OSError; nothing is flushed to the disk yet."""
    with path.open("xb", buffering=0) as file:
        return _write(tensors, file)


def _write(tensors: Mapping[str, Tensor], file: BinaryIO) -> Entry:
    # Large elements first, as safetensors itself does it: each tensor then lies at a multiple of its element's size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {}
    end = 0
    for name in names:
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    digest, written = hashlib.sha256(), 0
    pieces = [memoryview(struct.pack("<Q", len(head)) + head), *(_bytes_of(tensors[name]) for name in names)]
    for piece in pieces:
        for first in range(0, len(piece), PIECE):
            some = piece[first : first + PIECE]
            digest.update(some)
            while some:  # the system may take less than it is given
                taken = file.write(some)
                written, some = written + taken, some[taken:]
    return Entry(bytes=written, sha256=digest.hexdigest())


def read_tensors(content: bytes, *, name: str) -> dict[str, Tensor]:
    """The tensors of a file. Raises DataError if it is none."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise DataError(f"{name} is no safetensors file: {error}") from None
    return tensors


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.reshape(-1).view(torch.uint8).numpy().data
