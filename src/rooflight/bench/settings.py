"""PyTorch's switches that change which kernels run: set while a body runs, read back, and put back even on an error."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from rooflight.core.errors import BackendError


@contextmanager
def fp32_precision(backend: Any, precision: str) -> Iterator[None]:
    """Round the operands of float32 products as asked ("ieee": not at all, "tf32") while the body runs.

    backend  an object of torch.backends with the attribute fp32_precision
    raises   BackendError if the switch does not take
    """
    before = backend.fp32_precision
    backend.fp32_precision = precision
    try:
        if backend.fp32_precision != precision:
            raise BackendError(
                f"PyTorch keeps float32 products in {backend.fp32_precision!r}; asked was {precision!r}."
            )
        yield
    finally:
        backend.fp32_precision = before


@contextmanager
def tensor_cores_for_float32(on: bool) -> Iterator[None]:
    """TF32 on or off, in products of matrices, convolutions and recurrent layers."""
    cudnn: Any = torch.backends.cudnn
    with ExitStack() as stack:
        for backend in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn):
            stack.enter_context(fp32_precision(backend, "tf32" if on else "ieee"))
        yield


@contextmanager
def cudnn_off() -> Iterator[None]:
    """PyTorch's own kernels in place of cuDNN's (or MIOpen's)."""
    before = torch.backends.cudnn.enabled
    torch.backends.cudnn.enabled = False
    try:
        yield
    finally:
        torch.backends.cudnn.enabled = before


@contextmanager
def onednn_off() -> Iterator[None]:
    """PyTorch's own kernels in place of oneDNN's."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
