"""What a step needs of a GPU's memory: tensors, what operators take for themselves, the allocator's rounding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rooflight.core.types import GpuSpec
from rooflight.estimate.allocator import Reserved, play
from rooflight.estimate.arithmetic import depthwise
from rooflight.estimate.device import has_matrix_engine
from rooflight.estimate.setting import Setting
from rooflight.estimate.table import Array, OpTable

MIB = 2**20

# What the driver keeps of the sticker's memory, and what a process takes for its context, the kernels of torch, cuBLAS
# and cuDNN. A 24 GB RTX 3090 reports 24,268 MiB to torch, of which some 450 MiB go to the context (nvidia-smi after
# the first kernel, torch 1.12 to 2.4); a headless data centre card keeps as little.
DRIVER_SHARE = 0.986
CONTEXT_BYTES = 450 * MIB

# Of what is left, what blocks can fill: the rest is what benchmarks of convolutions, libraries and pieces too small to
# use take. From the batches at which timm's benchmark trained and failed on an RTX 3090 (calibration rows, 220 labels):
# at 0.90, 94 % are right and 3 % of the failed are said to fit; at 0.93, 96 % and 5 %. Wrong "fits" cost more.
FILLED = 0.90

# torch keeps one workspace for cuBLAS per handle and stream, and threads have handles of their own: forward's and
# autograd's. Source: ATen/cuda/CublasHandlePool.cpp, CUBLAS_WORKSPACE_CONFIG's default.
CUBLAS_BYTES = 8_519_680  # :4096:2:16:8
HOPPER_CUBLAS_BYTES = 32 * MIB
ROCM_BLAS_BYTES, CDNA3_BLAS_BYTES = 32 * MIB, 128 * MIB


Block = tuple[int, int, int]  # bytes, first operator, last operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes at the peak: of the allocator's blocks and segments, and of the process as the driver counts it."""

    allocated_bytes: int
    reserved_bytes: int
    process_bytes: int
    fits: bool


def usable_bytes(spec: GpuSpec) -> float:
    """What is left for the allocator's segments."""
    return spec.memory_bytes * DRIVER_SHARE - CONTEXT_BYTES


def footprint(table: OpTable, blocks: Sequence[Block], spec: GpuSpec, setting: Setting) -> Footprint:
    """Play the step's blocks through the allocator."""
    found: Reserved = play(*_asked(table, blocks, spec, setting))
    memory = Footprint(
        allocated_bytes=found.allocated_bytes,
        reserved_bytes=found.reserved_bytes,
        process_bytes=found.reserved_bytes + CONTEXT_BYTES,
        fits=False,
    )
    return replace(memory, fits=fits(memory, table, blocks, spec, setting))


def fits(memory: Footprint, table: OpTable, blocks: Sequence[Block], spec: GpuSpec, setting: Setting) -> bool:
    """Is there room for the tensors and workspaces, and does every kernel take their sizes?

    Where the segments alone would be too many, the allocator is played again with the limit: it then gives back what it
    keeps unused.
    """
    room = usable_bytes(spec)
    if memory.allocated_bytes > FILLED * room or too_long(table, setting):
        return False
    return memory.reserved_bytes <= room or play(*_asked(table, blocks, spec, setting), room).fits


def blas_bytes(table: OpTable, spec: GpuSpec) -> int:
    """What torch keeps for the library of matrix products, in all threads; 0 if the step has no product."""
    if not table.kind("matmul").any():
        return 0
    target = spec.target or ""
    if spec.vendor == "amd":
        each = CDNA3_BLAS_BYTES if target.startswith(("gfx94", "gfx95")) else ROCM_BLAS_BYTES
    else:
        each = HOPPER_CUBLAS_BYTES if target == "9.0" else CUBLAS_BYTES
    threads = 2 if table.phase("backward").any() else 1
    return threads * each


def keeps_gradients(setting: Setting) -> bool:
    """Are gradients zeroed in place between steps, so that forward finds them there? zero_grad did so before 2.0."""
    return setting.torch_version is not None and setting.torch_version < (2, 0)


def _asked(table: OpTable, blocks: Sequence[Block], spec: GpuSpec, setting: Setting) -> tuple[list[Block], list[int]]:
    """What is asked of the allocator: blocks with their lives, and each operator's workspace."""
    always = (blas_bytes(table, spec), 0, len(table) - 1)
    return [always, *blocks], [int(size) for size in workspace_bytes(table, spec, setting)]


def most_elements(setting: Setting) -> int:
    """So many elements of a convolution's result are too many for its library's indices.

    timm's benchmark failed at larger batches on an RTX 3090 with memory left: from 2³¹ elements on, but for channels
    last from torch 1.13 on, where 1.9 · 2³¹ ran and nothing of 2³² did.
    """
    old = setting.torch_version is not None and setting.torch_version < (1, 13)
    return 2**32 if setting.channels_last and not old else 2**31


def too_long(table: OpTable, setting: Setting) -> bool:
    """Does a convolution write so many?"""
    written = table.batch * table.rows * table.columns
    return bool((table.kind("convolution") & (written >= most_elements(setting))).any())


def workspace_bytes(table: OpTable, spec: GpuSpec, setting: Setting) -> Array:
    """Bytes that each operator takes while it runs: a convolution's tensors turned for Tensor Cores."""
    turned = table.kind("convolution") & ~depthwise(table)
    for dtype in table.dtypes_of("convolution"):
        if setting.channels_last or not has_matrix_engine(spec, setting.product_dtype("convolution", dtype)):
            turned &= ~table.dtype(dtype)
    return np.where(turned, table.bytes, 0.0)
