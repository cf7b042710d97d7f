"""A frozen base in inference: its features once, as fast as the device gives them, and the proof that they are its."""

import copy
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from rooflight.core.errors import BackendError
from rooflight.train.precision import Autocast

# Largest difference of class scores between the whole model and a head on kept features, of the largest score: folded
# and unfolded normalisation, and other batches, sum in another order.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def inference_copy(base: nn.Module) -> tuple[nn.Module, str]:
    """A copy for inference, and what was done to it: batch normalisation folded into the convolutions, channels last.

    docs/train.md has the measurement. A base whose forward pass cannot be traced stays unfolded.
    """
    copied = copy.deepcopy(base).eval()
    folded = "no batch normalisation to fold"
    if any(isinstance(module, nn.BatchNorm2d) for module in base.modules()):
        try:
            copied, folded = fuse(copied), "batch normalisation folded"
        except Exception as error:  # tracing fails in as many ways as there are models
            folded = f"batch normalisation kept, as it cannot be traced ({type(error).__name__})"
    copied = copied.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copied, f"inference mode, channels last, {folded}"


@torch.inference_mode()
def features_of(
    base: nn.Module, batches: Iterable[Any], autocast: Autocast, on_batch: Callable[[int, float], None]
) -> Iterator[Tensor]:
    """The base's output of each batch of inputs, float32 on the host.

    on_batch  called after each with its samples, and the seconds that the base took
    """
    for inputs in batches:
        begin = time.perf_counter()
        with autocast():
            if isinstance(inputs, Tensor):
                found = base(inputs.contiguous(memory_format=torch.channels_last))
            else:
                found = base(**inputs)
        kept = found.float().contiguous().cpu()  # waits for the device
        on_batch(len(kept), time.perf_counter() - begin)
        yield kept


@torch.inference_mode()
def check_agreement(
    model: nn.Module,
    whole: Iterable[tuple[Any, Tensor]],
    kept: Iterable[tuple[Any, Tensor]],
    *,
    dtype: torch.dtype,
    autocast: Autocast,
) -> tuple[float, Tensor, Tensor]:
    """Scores of the whole model against those of its head on kept features, sample by sample.

    returns  the largest difference; the whole model's scores (N, classes), and the labels
    raises   BackendError if they differ by more than arithmetic does
    """
    model.eval()
    scores, labels = _scores(model, whole, autocast)
    on_kept, _ = _scores(model, kept, autocast)
    largest = float((scores - on_kept).abs().max())
    allowed = TOLERANCE[dtype] * max(1.0, float(scores.abs().max()))
    if not largest <= allowed:
        raise BackendError(
            f"the whole model's scores differ by {largest:.1e} from those on its kept features, where arithmetic alone "
            f"gives up to {allowed:.1e}. Try --dtype float32, and report it."
        )
    return largest, scores, labels


def _scores(model: nn.Module, pairs: Iterable[tuple[Any, Tensor]], autocast: Autocast) -> tuple[Tensor, Tensor]:
    found, labels = [], []
    for inputs, of in pairs:
        with autocast():
            found.append(model(inputs).float())
        labels.append(of)
    return torch.cat(found), torch.cat(labels)
