"""FLOP/s of matrix products and convolutions, by dtype."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from rooflight.bench.settings import fp32_precision
from rooflight.bench.timing import Load, measure, measure_load, timed_block
from rooflight.core.errors import ConfigError, nearest
from rooflight.core.types import Measurement

# By our name: torch's dtype of the operands, and how float32 products are rounded ("ieee": not at all).
DTYPES = {
    "float64": (torch.float64, "ieee"),
    "float32": (torch.float32, "ieee"),
    "tfloat32": (torch.float32, "tf32"),
    "bfloat16": (torch.bfloat16, "ieee"),
    "float16": (torch.float16, "ieee"),
    "float8": (torch.float8_e4m3fn, "ieee"),  # MI300's format differs, see _operand
    "int8": (torch.int8, "ieee"),  # its multiply-adds are counted as FLOPs too
}

CALL_SECONDS = 0.01  # a product of this length hides the time to issue it, and many fit into a second
LARGEST_SIDE = 16384  # 1 GiB per operand in float32


def matmul_rate(device: torch.device, dtype: str) -> Measurement:
    """The best FLOP/s of C = A·B over a few shapes, each of about 10 ms; the name tells the best shape, M×K×N."""
    with product_precision(device, dtype):
        return best_product(device, dtype)[1]


@contextmanager
def product_precision(device: torch.device, dtype: str) -> Iterator[None]:
    """Round float32 operands as the dtype says while the body runs: not at all, but for tfloat32.

    raises  ConfigError for a dtype that is unknown, or that the device does not have
    """
    _, precision = _operand(dtype, device)
    with fp32_precision(_matmul_backend(device), precision):
        yield


def best_product(device: torch.device, dtype: str) -> tuple[Load, Measurement]:
    """The product of the best shape, and its burst; to be called within product_precision.

    A product is 2·M·K·N FLOPs. The operands are normally distributed: zeros draw less power and run faster.
    """
    operand, _ = _operand(dtype, device)
    best: tuple[Load, Measurement] | None = None
    for shape in _shapes(_size(device, operand)):
        load = product_load(device, dtype, shape)
        burst = measure_load(load, device)
        if best is None or burst.median > best[1].median:
            best = load, burst
    assert best is not None
    return best


def product_load(device: torch.device, dtype: str, shape: tuple[int, int, int]) -> Load:
    """One product of that shape, M×K×N, written to the same place each time."""
    M, K, N = shape
    run = _product(device, _operand(dtype, device)[0], shape)
    return Load(name=f"matmul {dtype} {M}×{K}×{N}", unit="FLOP/s", work=2 * M * K * N, run=run)


def _product(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]) -> Callable[[], object]:
    M, K, N = shape
    if dtype is torch.int8:
        a8, b8 = (torch.randint(-128, 128, size, dtype=dtype, device=device) for size in ((M, K), (N, K)))
        c8 = torch.empty(M, N, device=device, dtype=torch.int32)
        return lambda: torch._int_mm(a8, b8.t(), out=c8)
    if dtype.itemsize == 1:
        return _float8_product(device, dtype, shape)
    a, b = torch.randn(M, K, device=device, dtype=dtype), torch.randn(K, N, device=device, dtype=dtype)
    c = torch.empty(M, N, device=device, dtype=dtype)
    return lambda: torch.mm(a, b, out=c)


def _float8_product(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]) -> Callable[[], object]:
    """bfloat16 out, one scale a tensor, B column by column as the kernels want it.

    On a GPU the sums are the Tensor Cores' own ("fast accumulation"), as in the data sheet's figure.
    """
    M, K, N = shape
    a, b = (torch.randn(size, device=device).to(dtype) for size in ((M, K), (N, K)))
    one = torch.ones((), device=device)
    fast = device.type == "cuda"
    return lambda: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16, use_fast_accum=fast)


def convolution_rate(device: torch.device, dtype: str) -> Measurement:
    """FLOP/s of a 3×3 convolution of 64 channels, forward and backward, channels last: what a vision model is made of.

    A product of matrices flatters a convolution, on a CPU by a factor of two. 6·N·64·H·W·64·9 FLOPs: one forward pass
    and two gradients, 2 FLOPs a multiply-add.
    """
    operand, precision = _operand(dtype, device)
    if operand.itemsize == 1:
        raise ConfigError(f"PyTorch has no convolution in {dtype} to measure. Try float16 or bfloat16.")
    N, H = (64, 56) if device.type == "cuda" else (8, 56)
    layer = nn.Conv2d(64, 64, 3, padding=1, bias=False, device=device, dtype=operand)
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(N, 64, H, H, device=device, dtype=operand).contiguous(memory_format=torch.channels_last)
    upstream = torch.randn_like(x)
    x.requires_grad_()

    def run() -> object:
        return torch.autograd.grad(layer(x), (x, layer.weight), upstream)

    with fp32_precision(_convolution_backend(device), precision):
        return measure(
            run,
            name=f"convolution {dtype} {N}×64×{H}×{H}",
            device=device,
            unit="FLOP/s",
            work_per_call=6 * N * 64 * H * H * 64 * 9,
        )


def _size(device: torch.device, dtype: torch.dtype) -> int:
    """The side of a cube whose product takes about CALL_SECONDS, a multiple of 256 as the kernels like it.

    Larger where small products are slow for another reason than their work: threads that wait for a busy core, or a
    GPU that is not filled.
    """
    side, best_rate, best_side = 256, 0.0, 256
    while True:
        seconds = _probe(device, dtype, side)
        rate = side**3 / seconds
        if rate > 1.5 * best_rate and seconds < 5 * CALL_SECONDS:
            best_rate, best_side = rate, side
        elif seconds >= CALL_SECONDS / 8:
            break
        if side >= LARGEST_SIDE // 2:
            break
        side *= 2
    ideal = side * (CALL_SECONDS / seconds) ** (1 / 3)
    return min(LARGEST_SIDE, max(best_side, int(ideal) // 256 * 256))


def _probe(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Seconds of a cube's product, the least of three: one that another process held up says nothing."""
    run = _product(device, dtype, (side, side, side))
    timed_block(run, 1, device)
    return min(timed_block(run, 1, device) for _ in range(3))


def _shapes(side: int) -> tuple[tuple[int, int, int], ...]:
    """A cube, and the same work with tall and with deep operands."""
    return ((side, side, side), (2 * side, side // 2, side), (side // 2, 2 * side, side))


def _operand(dtype: str, device: torch.device) -> tuple[torch.dtype, str]:
    if dtype not in DTYPES:
        raise ConfigError(f"no matrix product is measured in {dtype!r}.{nearest(dtype, DTYPES)}")
    if dtype == "tfloat32" and device.type != "cuda":
        raise ConfigError(f"tfloat32 is a mode of NVIDIA's Tensor Cores; {device} has none. Try float32.")
    operand, precision = DTYPES[dtype]
    if dtype == "float8" and torch.version.hip and "gfx94" in torch.cuda.get_device_properties(device).gcnArchName:
        operand = torch.float8_e4m3fnuz
    return operand, precision


def _matmul_backend(device: torch.device) -> Any:
    return torch.backends.cuda.matmul if device.type == "cuda" else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]


def _convolution_backend(device: torch.device) -> Any:
    return (torch.backends.cudnn if device.type == "cuda" else torch.backends.mkldnn).conv  # type: ignore[attr-defined]
