"""Does an exported file say what PyTorch says? Every export is asked, at several batch sizes, before it is kept."""

import torch

from rooflight.core.errors import BackendError, ShapeError
from rooflight.core.runs import Parity
from rooflight.deploy.runner import Runner

BATCHES = (1, 3, 64)  # alone, odd, and larger than any batch that was traced

# Share of the largest score that a difference may reach, by the dtype of the exported file. Sums in another order move
# a float32 ResNet-50 by 1e-6 of its largest score; float16 and bfloat16 keep 11 and 8 bits (2^-11, 2^-8), a few of them
# lost on the way.
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


def check_parity(
    reference: Runner,
    exported: Runner,
    input_shape: tuple[int, ...],
    *,
    samples: torch.Tensor | None = None,
    batches: tuple[int, ...] = BATCHES,
    dtype: str = "float32",
    input_dtype: torch.dtype = torch.float32,
) -> tuple[Parity, ...]:
    """Both runners on the same inputs, one Parity for each batch size.

    input_shape  one sample, (C, H, W)
    samples      (N, …) real inputs, repeated where a batch asks for more; None: seeded random ones
    raises       BackendError if a batch size is refused, if shapes differ, or if one side gives NaN or infinity
    """
    if samples is None:
        inputs = _random_inputs(input_shape, max(batches), input_dtype)
    else:
        inputs = samples.to("cpu", input_dtype)
    if tuple(inputs.shape[1:]) != input_shape or len(inputs) == 0:
        raise ShapeError(f"the samples have shape {tuple(inputs.shape)}, the model takes (N, {_show(input_shape)}).")
    return tuple(_compare(reference, exported, _take(inputs, batch), TOLERANCE[dtype]) for batch in batches)


def _compare(reference: Runner, exported: Runner, inputs: torch.Tensor, share: float) -> Parity:
    expected, found = reference.run(inputs), exported.run(inputs)
    if expected.shape != found.shape:
        raise BackendError(
            f"for a batch of {len(inputs)} the exported file returns scores of shape {tuple(found.shape)}, "
            f"PyTorch of shape {tuple(expected.shape)}: the export has fixed a size that must vary."
        )
    for scores, who in ((expected, reference.name), (found, exported.name)):
        if not torch.isfinite(scores).all():
            raise BackendError(f"{who} gives NaN or infinity for a batch of {len(inputs)}: nothing can be compared.")
    difference = float((expected - found).abs().max())
    # Scores have no fixed scale, so the share is of the largest one; below 1 it is taken as it is.
    tolerance = share * max(1.0, float(expected.abs().max()))
    return Parity(batch=len(inputs), largest_difference=difference, tolerance=tolerance, agrees=difference <= tolerance)


def _random_inputs(input_shape: tuple[int, ...], count: int, dtype: torch.dtype) -> torch.Tensor:
    if not dtype.is_floating_point:
        return torch.zeros((count, *input_shape), dtype=dtype)  # a number that every vocabulary has
    return torch.randn((count, *input_shape), generator=torch.Generator().manual_seed(0))


def _take(inputs: torch.Tensor, batch: int) -> torch.Tensor:
    return inputs[torch.arange(batch) % len(inputs)]


def _show(shape: tuple[int, ...]) -> str:
    return ", ".join(str(size) for size in shape)
