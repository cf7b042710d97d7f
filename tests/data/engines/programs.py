"""Pipelines that between them use every part of a program, and pictures to put through them."""

import torch
from torch import Tensor

from rooflight.data import pipeline as pl
from rooflight.data.pipeline.program import Program

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZE = pl.Normalize(MEAN, STD)
MAIN = (pl.RandomResizedCrop(32), pl.RandomHorizontalFlip(), pl.RandomRotation(15), pl.ColorJitter(0.4, 0.4, 0.4, 0.1))

POINTWISE = {  # what both fast engines know
    "main": MAIN,
    "shrinks": (pl.RandomResizedCrop(13, scale=(0.5, 1.0)),),
    "shrinks without antialias": (pl.Resize((13, 17), antialias=False),),
    "bicubic": (pl.RandomResizedCrop(13, scale=(0.5, 1.0), interpolation="bicubic"),),
    "bicubic up": (pl.Resize((60, 55), interpolation="bicubic"),),
    "nearest resize": (pl.Resize((30, 17), interpolation="nearest"),),
    "evaluation": (pl.Resize(36), pl.CenterCrop(32)),
    "bilinear rotation": (pl.RandomRotation(40, interpolation="bilinear", fill=(10, 100, 200)),),
    "affine": (pl.RandomAffine(20, translate=(0.2, 0.2), scale=(0.6, 1.5), shear=10, interpolation="bilinear"),),
    "perspective": (pl.RandomPerspective(0.5, p=1.0, interpolation="bilinear"),),
    "two warps": (pl.RandomRotation(30, fill=50), pl.RandomAffine(10, translate=(0.3, 0.1), fill=50)),
    "crop with a border": (pl.RandomCrop(40, padding=6, fill=7), pl.RandomVerticalFlip()),
    "erased": (pl.RandomErasing(p=1.0, value=0.5),),
    "colours": (
        pl.RandomGrayscale(0.3),
        pl.RandomPosterize(3, p=0.5),
        pl.RandomSolarize(100, p=0.5),
        pl.RandomInvert(0.5),
        pl.ColorJitter(0.4, 0.4, 0.4, 0.1),
    ),
}
REST = {  # what the CPU engine knows beside them
    "reflected border": (pl.RandomCrop(40, padding=6, padding_mode="reflect"),),
    "symmetric border": (pl.RandomCrop(40, padding=6, padding_mode="symmetric"),),
    "edge border": (pl.RandomCrop(40, padding=6, padding_mode="edge"),),
    "autocontrast": (pl.RandomAutocontrast(1.0),),
    "equalize": (pl.RandomEqualize(1.0),),
    "sharpness": (pl.RandomAdjustSharpness(1.7, p=0.8),),
    "blur": (pl.GaussianBlur((5, 3), sigma=(0.5, 2.0)),),
    "policy": (pl.RandomResizedCrop(32), pl.RandAugment()),
    "wide policy": (pl.TrivialAugmentWide(),),
}


def pictures(count: int, *, channels: int = 3, size: int = 40) -> Tensor:
    """Smooth pictures with some noise, (N, C, size, size) uint8."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear").mul(255)
    return (smooth + 6 * torch.randn(smooth.shape, generator=generator)).round().clamp(0, 255).byte()


def program_of(
    operations: tuple[object, ...], images: Tensor, *, ids: range | None = None, **settings: bool
) -> Program:
    """The pipeline's program for these images."""
    pipeline = pl.Pipeline(operations, **settings)
    draws = pipeline.draw(ids or range(len(images)), epoch=1, seed=2)
    return pipeline.compile(draws, tuple(images.shape[2:]), images.shape[1])


def off_by(found: Tensor, expected: Tensor, levels: float) -> float:
    """The share of values that differ by more."""
    return (found.float() - expected.float()).abs().gt(levels).float().mean().item()
