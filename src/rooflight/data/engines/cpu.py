"""The CPU engine: numba's kernels over blocks of a few samples, on as many threads as torch may use."""

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import BackendError
from rooflight.data.engines.engine import DTYPES, before_mixing, mix_into, new_result, packed, result_in
from rooflight.data.pipeline.program import Pass, Program, check_source

BLOCK = 4  # samples that go through all kernels together: few enough to stay in a core's cache
FILTERS = {"bilinear": 0, "nearest": 1, "bicubic": 2}
BORDERS = {"constant": 0, "edge": 1, "reflect": 2, "symmetric": 3}


class CpuEngine:
    """For images in the host's memory. Packed to a byte per channel: one to three channels."""

    name = "cpu"

    def refuses(self, program: Program, images: Tensor) -> str | None:
        """See Engine."""
        if importlib.util.find_spec("numba") is None:
            return "numba is not installed; try: pip install 'rooflight[augment]'"
        if images.device.type != "cpu":
            return f"the images are on {images.device}"
        if images.shape[1] not in (1, 3):
            return f"the images have {images.shape[1]} channels, not 1 or 3"
        return None

    def run(self, program: Program, images: Tensor, out: Tensor | None = None) -> Tensor:
        """See Engine."""
        check_source(program, images)
        reason = self.refuses(program, images)
        if reason is not None:
            raise BackendError(f'the cpu engine was asked for, but {reason}. Try engine="torch".')
        for step in program.passes[:-1]:
            between = replace(
                program, passes=(step,), channels=images.shape[1], dtype="uint8", channels_last=False,
                scale=(1.0,) * images.shape[1], shift=(0.0,) * images.shape[1], erase=None, mix=None,
            )  # fmt: skip
            images = _run_pass(between, images, new_result(between, images))
        result = result_in(program, images, out)
        if program.mix is None:
            return _run_pass(program, images, result)
        apart = before_mixing(program)
        return mix_into(program, _run_pass(apart, images, new_result(apart, images)), result)


def _run_pass(program: Program, images: Tensor, out: Tensor) -> Tensor:
    """The program's last pass and what follows it."""
    from rooflight.data.engines import numba_colour, numba_geometry, numba_output

    step = packed(program.passes[-1])
    source, strides = _flat(images)
    single = images.shape[1] == 1
    geometry = _geometry(step, single)
    codes, values = step.codes.numpy(), step.values.numpy()
    blur = np.array(step.blur, np.int32)
    last = program.channels_last
    flat = _bits(out.permute(0, 2, 3, 1) if last else out).reshape(len(out), -1)
    finish = _finish(program)
    erase = None if program.erase is None else program.erase.contiguous().numpy()
    erase_value = _bits(_cast(torch.tensor(program.erase_value), program))

    def work(first: int) -> None:
        count = min(BLOCK, len(out) - first)
        pictures = np.empty((count, *step.size), np.uint32)
        numba_geometry.read_and_warp(source, strides, *geometry, first, pictures)
        if codes.shape[1]:
            numba_colour.colour(pictures, codes, values, first, blur, single)
        block = flat[first : first + count]
        if program.dtype == "float32":
            numba_output.write_floats(pictures, *finish, last, block)
        else:
            numba_output.write_table(pictures, *finish, last, block)
        if erase is not None:
            numba_output.erase(erase, erase_value, first, *step.size, last, block)

    _each(work, range(0, len(out), BLOCK))
    return out


def _geometry(step: Pass, single: bool) -> tuple[NDArray[Any], ...]:
    """The arguments of read_and_warp that stay the same for all samples of a batch."""
    window, box, canvas = step.window.numpy(), step.box.numpy(), step.canvas.numpy()
    high, wide = (int(size) for size in window[:, 2:].max(0))
    rows, columns = (int(size) for size in box[:, 2:].max(0))
    support = max(1.0, float((box[:, 2:] / canvas).max())) if step.antialias else 1.0
    support *= 2 if step.filter == "bicubic" else 1
    fill = step.fill or (0.0,)
    settings = (
        step.antialias,
        FILTERS[step.filter] if step.resizes else 0,
        step.interpolation == "bilinear",
        BORDERS[step.border],
        step.fill is not None or step.guards.shape[1] > 0,
    )
    return (
        np.array([rows, columns, high, wide, 2 * ceil(support) + 1], np.int32),
        np.array(settings, np.int32),
        np.array(fill * 3 if len(fill) == 1 else fill, np.float32),
        box,
        canvas,
        window,
        step.matrix.numpy(),
        step.guards.numpy(),
        step.guard_sizes.numpy(),
    )


def _finish(program: Program) -> tuple[NDArray[Any], ...]:
    """Levels to values: scale and shift, or for a dtype other than float32 the value of each level (C, 256)."""
    scale, shift = torch.tensor(program.scale), torch.tensor(program.shift)
    if program.dtype == "float32":
        return scale.numpy(), shift.numpy()
    levels = torch.arange(256, dtype=torch.float32)
    return (_bits(_cast(levels * scale[:, None] + shift[:, None], program)),)


def _cast(values: Tensor, program: Program) -> Tensor:
    """As the reference casts to the result's dtype."""
    return (values.round().clamp(0, 255) if program.dtype == "uint8" else values).to(DTYPES[program.dtype])


def _flat(images: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every byte, and how far it is to the next sample, channel (0: there is one), row and pixel."""
    if not images.is_contiguous() and not images.is_contiguous(memory_format=torch.channels_last):
        images = images.contiguous()
    strides = np.array(images.stride(), np.int64)
    if images.shape[1] == 1:
        strides[1:] = 0, images.shape[3], 1  # a dimension of one may have any stride
    return images.permute(np.argsort(-strides, kind="stable").tolist()).reshape(-1).numpy(), strides


def _bits(tensor: Tensor) -> NDArray[Any]:
    """As numpy sees it: a 16-bit float, which it may not know, as an integer."""
    return (tensor.view(torch.int16) if tensor.element_size() == 2 else tensor).numpy()


def _each(work: Callable[[int], None], items: range) -> None:
    """Call for each item, on torch's number of threads."""
    threads = min(torch.get_num_threads(), len(items))
    if threads == 1:
        for item in items:
            work(item)
    else:
        list(_pool(threads, os.getpid()).map(work, items))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads that stay. process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="rooflight-augment")
