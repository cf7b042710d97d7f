"""MixUp and CutMix: samples of a batch mixed in pairs, labels with them.

The partner is of the batch, so this part of a draw depends on the batch: with mode "batch", as torchvision, on its
first sample's words; with "elem", as timm, each share on its own sample's.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.parameters import Parameters, at, whole
from rooflight.data.pipeline.philox import Words
from rooflight.data.pipeline.program import Mix

Array = NDArray[Any]
GAMMA_TRIES = 8  # each is taken with a probability above 0.95
GAMMA_WORDS = 3 * GAMMA_TRIES + 1
BLOCKS = -(-(2 + 2 * GAMMA_WORDS) // 4)


def gamma(drawn: Words, shape: float) -> Array:
    """(N,) from (N, GAMMA_WORDS) words: Gamma(shape, 1).

    source  Marsaglia, Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000
    """
    boosted = shape + 1 if shape < 1 else shape
    d = boosted - 1 / 3
    tries = drawn[:, 1:].reshape(-1, GAMMA_TRIES, 3)
    u = (tries + np.uint64(1)).astype(np.float64) / 2**32  # in (0, 1]: its logarithm is wanted
    normal = np.sqrt(-2 * np.log(u[..., 0])) * np.cos(2 * np.pi * u[..., 1])
    v = (1 + normal / np.sqrt(9 * d)) ** 3
    positive = np.where(v > 0, v, 1.0)
    taken = (v > 0) & (np.log(u[..., 2]) < normal**2 / 2 + d - d * v + d * np.log(positive))
    found: Array = d * at(positive, taken.argmax(1))
    first = (drawn[:, 0].astype(np.float64) + 1) / 2**32
    return found * first ** (1 / shape) if shape < 1 else found


def mixing(op: ops.MixUp | ops.CutMix, drawn: Words, sizes: Array) -> Parameters:
    """partner (N,), weight (N,) of the own label, and top, left, height, width of the pasted box; height 0: blended."""
    count = len(drawn)
    first = gamma(drawn[:, 2 : 2 + GAMMA_WORDS], op.alpha)
    second = gamma(drawn[:, 2 + GAMMA_WORDS : 2 + 2 * GAMMA_WORDS], op.alpha)
    weight = first / np.maximum(first + second, np.finfo(float).tiny)
    x, y = whole(drawn[:, 0], sizes[:, 1]), whole(drawn[:, 1], sizes[:, 0])
    partner = np.arange(count)[::-1]
    if op.mode == "batch":
        weight, x, y = (np.broadcast_to(part[:1], (count,)) for part in (weight, x, y))
        partner = np.roll(np.arange(count), 1)
    if isinstance(op, ops.MixUp):
        box = np.zeros((4, count))
    else:
        half = (0.5 * np.sqrt(1 - weight)[:, None] * sizes).astype(np.int64)
        top, bottom = np.maximum(y - half[:, 0], 0), np.minimum(y + half[:, 0], sizes[:, 0])
        left, right = np.maximum(x - half[:, 1], 0), np.minimum(x + half[:, 1], sizes[:, 1])
        box = np.stack((top, left, bottom - top, right - left))
        weight = 1 - box[2] * box[3] / (sizes[:, 0] * sizes[:, 1])
        box[2] = np.where(box[3] > 0, box[2], 0)
    names = ("top", "left", "height", "width")
    return {"partner": partner.copy(), "weight": weight, **dict(zip(names, box, strict=True))}


def mix_of(drawn: Parameters) -> Mix:
    """The program's part. A box of no area leaves every pixel as it is: its weight is 1."""
    box = np.stack([drawn[name] for name in ("top", "left", "height", "width")], axis=1)
    return Mix(
        partner=torch.from_numpy(drawn["partner"].astype(np.int64)),
        weight=torch.from_numpy(drawn["weight"].astype(np.float32)),
        paste=torch.from_numpy(box.astype(np.float32)),
    )


def mix_labels(labels: Tensor, mix: Mix, classes: int | None = None) -> Tensor:
    """Labels of the mixed samples.

    labels   int64 (N,), then with the number of classes; or float (N, classes)
    returns  float32 (N, classes)
    """
    if labels.dim() == 1:
        if classes is None:
            raise ConfigError("labels that are numbers need the count of classes. Try MixUp(num_classes=10).")
        try:
            labels = F.one_hot(labels, classes)
        except RuntimeError:  # checked by torch itself, and on the host alone: asking here would make a GPU wait
            raise ConfigError(
                f"labels of {classes} classes are int64, 0 to {classes - 1}; these are "
                f"{str(labels.dtype).removeprefix('torch.')}, {labels.min()} to {labels.max()}. Try another count."
            ) from None
    labels = labels.float()
    weight = mix.weight.to(labels.device)[:, None]
    return labels * weight + labels[mix.partner.to(labels.device)] * (1 - weight)
