"""The GPU engine: one Triton kernel for CUDA and ROCm, launched once, and once more for each CONTRAST of a sample."""

import importlib.util
from typing import Any

import torch
from torch import Tensor

from rooflight.core.errors import BackendError
from rooflight.data.engines.engine import before_mixing, mix_into, new_result, packed, result_in
from rooflight.data.pipeline.program import (
    AUTOCONTRAST,
    BLUR,
    CONTRAST,
    EQUALIZE,
    SHARPNESS,
    Pass,
    Program,
    check_source,
)

TILE = 512  # output pixels of one program
MISSING = {AUTOCONTRAST: "autocontrast", EQUALIZE: "equalize", SHARPNESS: "sharpness", BLUR: "blur"}


class GpuEngine:
    """For images in a GPU's memory. The host reads nothing back."""

    name = "gpu"

    def refuses(self, program: Program, images: Tensor) -> str | None:
        """See Engine."""
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed"
        if images.device.type != "cuda":
            return f"the images are on {images.device}"
        return refuses_program(program, images.shape[1])

    def run(self, program: Program, images: Tensor, out: Tensor | None = None) -> Tensor:
        """See Engine."""
        check_source(program, images)
        reason = self.refuses(program, images)
        if reason is not None:
            raise BackendError(f'the gpu engine was asked for, but {reason}. Try engine="torch".')
        from rooflight.data.engines.triton_kernels import augment

        result = result_in(program, images, out)
        if program.mix is None:
            return launch(augment, program, images, result)
        apart = before_mixing(program)
        return mix_into(program.to(images.device), launch(augment, apart, images, new_result(apart, images)), result)


def refuses_program(program: Program, channels: int) -> str | None:
    """What of the program the kernel does not know, wherever the images are."""
    if channels not in (1, 3):
        return f"the images have {channels} channels, not 1 or 3"
    if len(program.passes) > 1:
        return "the pipeline needs more than one pass"
    step = program.passes[0]
    if step.border != "constant":
        return f"its border is constant, not {step.border}"
    missing = {MISSING[code] for slot in step.slots for code in slot if code in MISSING}
    return f"it has no {', '.join(sorted(missing))}" if missing else None


def launch(kernel: Any, program: Program, images: Tensor, out: Tensor) -> Tensor:
    """Run the kernel's phases; the last one fills out."""
    step = program.passes[0]
    samples, (height, width) = program.samples, step.size
    phases = 1 + _most_contrasts(step)
    on_device = program.to(images.device)
    moved = packed(on_device.passes[0])
    scratch = torch.empty(samples * height * width if phases > 1 else 1, dtype=torch.int32, device=images.device)
    sums = torch.zeros(phases, samples, dtype=torch.int32, device=images.device)
    erase = sums if on_device.erase is None else on_device.erase.contiguous()
    erase_value = torch.tensor(program.erase_value, dtype=torch.float32)
    if images.is_cuda:
        erase_value = erase_value.pin_memory().to(images.device, non_blocking=True)
    fill = step.fill or (0.0,)
    fills = fill * 3 if len(fill) == 1 else fill
    pad = (0.0,) * (3 - program.channels)
    for phase in range(phases):
        kernel[(samples, -(-height * width // TILE))](
            images, scratch, sums, out, moved.box, moved.canvas, moved.window, moved.matrix, moved.guards,
            moved.guard_sizes, moved.codes, moved.values, erase, erase_value,
            *images.stride(), samples, height, width, *fills,
            *program.scale, *pad, *program.shift, *pad, phase,
            slots=moved.codes.shape[1], guard_count=moved.guards.shape[1],
            erasures=0 if program.erase is None else program.erase.shape[1],
            bilinear=step.interpolation == "bilinear", faded=step.fill is not None or step.guards.shape[1] > 0,
            resizes=step.resizes, antialias=step.antialias, nearest=step.filter == "nearest",
            cubic=step.filter == "bicubic", channels=images.shape[1],
            out_channels=program.channels, last=program.channels_last, first_phase=phase == 0,
            last_phase=phase == phases - 1, tile=TILE,
        )  # fmt: skip
    return out


def _most_contrasts(step: Pass) -> int:
    """How often a sample's contrast changes, at most: counted on the host, but never read back from a GPU."""
    if step.codes.device.type == "cpu" and step.codes.numel():
        return int((step.codes == CONTRAST).sum(1).max())
    return sum(CONTRAST in slot for slot in step.slots)
