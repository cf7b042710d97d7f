"""Rooflight's pipeline beside torchvision v2, operation by operation, with the same parameters.

    python -m benchmarks.conformance --json > benchmarks/results/conformance-DATE.json

For each operation: the largest and the mean difference in levels of 255 between the reference engine and torchvision's
functions on uint8 tensors, one image at a time; and the share of values that differ by more than one and by more than
two. A nearest neighbour is a tie where two pixels are less than a thousandth of a pixel apart in distance: which one is
read is then a matter of rounding, in torchvision too; ties are counted apart and left out of the figures.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional
from torch import Tensor

from rooflight.core.codec import to_json
from rooflight.core.types import Environment
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.parameters import Parameters
from rooflight.data.pipeline.pipeline import Pipeline
from rooflight.data.pipeline.policies import NAMES
from rooflight.data.pipeline.program import Program
from rooflight.data.pipeline.reference import project
from rooflight.hardware.environment import environment

ALWAYS = 1.0
TIE = 1e-3  # pixels
CASES: dict[str, tuple[Any, ...]] = {
    "Resize down": (ops.Resize((96, 120)),),
    "Resize up": (ops.Resize((300, 260)),),
    "Resize without antialias": (ops.Resize((96, 120), antialias=False),),
    "Resize bicubic down": (ops.Resize((96, 120), interpolation="bicubic"),),
    "Resize bicubic up": (ops.Resize((300, 260), interpolation="bicubic"),),
    "Resize nearest": (ops.Resize((96, 120), interpolation="nearest"),),
    "Resize + CenterCrop": (ops.Resize(128), ops.CenterCrop(112)),
    "CenterCrop larger than the image": (ops.CenterCrop(260),),
    "RandomResizedCrop": (ops.RandomResizedCrop(112),),
    "RandomCrop": (ops.RandomCrop(200, padding=16),),
    "RandomCrop reflect": (ops.RandomCrop(200, padding=16, padding_mode="reflect"),),
    "RandomCrop symmetric": (ops.RandomCrop(200, padding=16, padding_mode="symmetric"),),
    "RandomCrop edge": (ops.RandomCrop(200, padding=16, padding_mode="edge"),),
    "RandomHorizontalFlip": (ops.RandomHorizontalFlip(),),
    "RandomVerticalFlip": (ops.RandomVerticalFlip(),),
    "RandomRotation": (ops.RandomRotation(30),),
    "RandomRotation bilinear": (ops.RandomRotation(30, interpolation="bilinear", fill=(10, 200, 90)),),
    "RandomAffine": (ops.RandomAffine(20, translate=(0.1, 0.2), scale=(0.7, 1.3), shear=(-10, 10, -5, 5)),),
    "RandomAffine bilinear": (
        ops.RandomAffine(20, translate=(0.1, 0.2), scale=(0.7, 1.3), shear=12, interpolation="bilinear"),
    ),
    "RandomPerspective": (ops.RandomPerspective(),),
    "brightness": (ops.ColorJitter(brightness=0.8),),
    "contrast": (ops.ColorJitter(contrast=0.8),),
    "saturation": (ops.ColorJitter(saturation=0.8),),
    "hue": (ops.ColorJitter(hue=0.5),),
    "ColorJitter": (ops.ColorJitter(0.4, 0.4, 0.4, 0.1),),
    "Grayscale": (ops.Grayscale(3),),
    "RandomInvert": (ops.RandomInvert(ALWAYS),),
    "RandomPosterize": (ops.RandomPosterize(3, ALWAYS),),
    "RandomSolarize": (ops.RandomSolarize(100, ALWAYS),),
    "RandomAutocontrast": (ops.RandomAutocontrast(ALWAYS),),
    "RandomEqualize": (ops.RandomEqualize(ALWAYS),),
    "RandomAdjustSharpness": (ops.RandomAdjustSharpness(1.7, ALWAYS),),
    "GaussianBlur": (ops.GaussianBlur((7, 5)),),
    "RandAugment": (ops.RandAugment(),),
    "TrivialAugmentWide": (ops.TrivialAugmentWide(),),
    "RandomErasing": (ops.RandomErasing(ALWAYS),),
    "RandomResizedCrop + flip + rotation": (
        ops.RandomResizedCrop(112),
        ops.RandomHorizontalFlip(),
        ops.RandomRotation(15),
    ),
    "RandomResizedCrop + flip + rotation + ColorJitter": (
        ops.RandomResizedCrop(112),
        ops.RandomHorizontalFlip(),
        ops.RandomRotation(15),
        ops.ColorJitter(0.4, 0.4, 0.4, 0.1),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One operation against torchvision. Levels of 255; shares of all values."""

    operation: str
    largest: float
    mean: float
    share_above_1: float
    share_above_2: float
    ties: float  # share of the pixels that are left out
    passes: int  # times that the pixels are read and written


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformance:
    """What this script prints."""

    torchvision: str
    device: str
    images: str
    differences: tuple[Difference, ...]
    environment: Environment


def pictures(count: int, height: int = 200, width: int = 240) -> Tensor:
    """uint8 (count, 3, height, width): soft shapes with edges and grain, as in a photograph; always the same."""
    generator = torch.Generator().manual_seed(0)
    soft = torch.rand(count, 3, 9, 11, generator=generator)
    soft = torch.nn.functional.interpolate(soft, size=(height, width), mode="bicubic", align_corners=False)
    hard = torch.rand(count, 3, 20, 24, generator=generator)
    hard = torch.nn.functional.interpolate(hard, size=(height, width), mode="nearest")
    grain = torch.randn(count, 3, height, width, generator=generator) * 0.02
    return ((0.7 * soft + 0.3 * hard + grain).clamp(0, 1) * 255).to(torch.uint8)


def chain(operations: Sequence[Any], drawn: Sequence[Parameters], index: int, image: Tensor) -> Tensor:
    """uint8 (C, H, W) through torchvision's functions one after another, with the parameters of sample `index`."""
    for op, parameters in zip(operations, drawn, strict=True):
        image = by_torchvision(op, {name: values[index] for name, values in parameters.items()}, image)
    return image


def by_torchvision(op: Any, drawn: dict[str, Any], x: Tensor) -> Any:
    """One operation with its parameters, by torchvision.transforms.v2.functional: a tensor like x."""
    from torchvision.transforms.v2 import functional as F

    fill = None if getattr(op, "fill", None) is None else list(op.fill)
    size: Any = getattr(op, "size", None)
    match op:
        case ops.Resize():
            return F.resize(x, list(size), op.interpolation, op.max_size, op.antialias)
        case ops.CenterCrop():
            return F.center_crop(x, list(size))
        case ops.RandomResizedCrop():
            box = [int(drawn[name]) for name in ("top", "left", "height", "width")]
            return F.resized_crop(x, *box, list(size), op.interpolation, op.antialias)
        case ops.RandomCrop():
            padding: Any = op.padding or (0, 0, 0, 0)
            left, upper, right, lower = padding
            x = F.pad(x, [left, upper, right, lower], fill, op.padding_mode)
            return F.crop(x, int(drawn["top"]) + upper, int(drawn["left"]) + left, *size)
        case ops.RandomHorizontalFlip():
            return F.horizontal_flip(x) if drawn["applied"] else x
        case ops.RandomVerticalFlip():
            return F.vertical_flip(x) if drawn["applied"] else x
        case ops.RandomRotation():
            return F.rotate(x, float(drawn["angle"]), op.interpolation, center=op.center, fill=fill)
        case ops.RandomAffine():
            translate, shear = drawn["translate"].tolist(), drawn["shear"].tolist()
            angle, scale = float(drawn["angle"]), float(drawn["scale"])
            return F.affine(x, angle, translate, scale, shear, op.interpolation, fill, op.center)
        case ops.RandomPerspective():
            if not drawn["applied"]:
                return x
            right, lower = x.shape[2] - 1, x.shape[1] - 1
            corners = [[0, 0], [right, 0], [right, lower], [0, lower]]
            return F.perspective(x, corners, drawn["endpoints"].tolist(), op.interpolation, fill)
        case ops.ColorJitter():
            functions = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
            for place in drawn["order"]:
                name = ("brightness", "contrast", "saturation", "hue")[place]
                x = functions[place](x, float(drawn[name]))
            return x
        case ops.Grayscale():
            return F.rgb_to_grayscale(x, op.num_output_channels)
        case ops.GaussianBlur():
            taps: Any = op.kernel_size
            return F.gaussian_blur(x, list(taps), [float(drawn["sigma"])] * 2)
        case ops.RandAugment() | ops.TrivialAugmentWide():
            return _policy(op, drawn, x)
        case ops.RandomErasing():
            box = [int(drawn[name]) for name in ("top", "left", "height", "width")]
            return F.erase(x, *box, torch.tensor(op.value)[:, None, None])
        case _:
            return _with_probability(op, drawn, x)


def _with_probability(op: Any, drawn: dict[str, Any], x: Tensor) -> Any:
    from torchvision.transforms.v2 import functional as F

    if not drawn["applied"]:
        return x
    match op:
        case ops.RandomGrayscale():
            return F.rgb_to_grayscale(x, x.shape[0])
        case ops.RandomInvert():
            return F.invert(x)
        case ops.RandomPosterize():
            return F.posterize(x, op.bits)
        case ops.RandomSolarize():
            return F.solarize(x, op.threshold)
        case ops.RandomAutocontrast():
            return F.autocontrast(x)
        case ops.RandomEqualize():
            return F.equalize(x)
        case ops.RandomAdjustSharpness():
            return F.adjust_sharpness(x, op.sharpness_factor)
        case _:
            raise AssertionError(f"no torchvision function for {op}")


def _policy(op: Any, drawn: dict[str, Any], x: Tensor) -> Any:
    """By the method that torchvision's own classes call."""
    from torchvision.transforms import v2

    reference = v2.RandAugment(interpolation=op.interpolation, fill=op.fill)
    for choice, magnitude in zip(drawn["choice"], drawn["magnitude"], strict=True):
        x = reference._apply_image_or_video_transform(
            x, NAMES[choice], float(magnitude), op.interpolation, reference._fill
        )
    return x


def ties(program: Program) -> Tensor:
    """bool (N, 1, H, W): pixels whose nearest neighbour is a matter of rounding."""
    step = program.passes[-1]
    if step.on_grid or step.interpolation != "nearest" or len(program.passes) > 1:
        return torch.zeros(program.samples, 1, 1, 1, dtype=torch.bool)
    u, v = project(step.matrix, step.size)
    return ((u - u.floor() - 0.5).abs() < TIE).logical_or((v - v.floor() - 0.5).abs() < TIE)[:, None]


def compare(name: str, images: Tensor, device: str) -> Difference:
    """One case of CASES, on these images."""
    pipeline = Pipeline(CASES[name])
    draws = pipeline.draw(range(len(images)), epoch=1, seed=0)
    size = tuple(images.shape[2:])
    drawn = pipeline.parameters(draws, size)
    ours = pipeline.apply(images.to(device), draws).cpu()
    theirs = torch.stack([chain(pipeline.operations, drawn, index, image) for index, image in enumerate(images)])
    program = pipeline.compile(draws, size)
    tie = ties(program)
    difference = (ours.int() - theirs.int()).abs().masked_fill(tie, 0).float()
    return Difference(
        operation=name,
        largest=float(difference.max()),
        mean=round(float(difference.mean()), 6),
        share_above_1=round(float((difference > 1).float().mean()), 7),
        share_above_2=round(float((difference > 2).float().mean()), 7),
        ties=round(float(tie.float().mean()), 7),
        passes=len(program.passes),
    )


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    import torchvision

    images = pictures(arguments.images)
    found = tuple(compare(name, images, arguments.device) for name in CASES)
    if arguments.json:
        answer = Conformance(
            torchvision=torchvision.__version__,
            device=arguments.device,
            images=f"{arguments.images} of 200×240, made by the script",
            differences=found,
            environment=environment(arguments.device, threads=torch.get_num_threads()),
        )
        print(to_json(answer))
        return
    for row in found:
        print(
            f"{row.operation:52} largest {row.largest:5.0f}  mean {row.mean:.5f}  above 1 {row.share_above_1:.6f}  "
            f"above 2 {row.share_above_2:.6f}  ties {row.ties:.5f}  passes {row.passes}"
        )


if __name__ == "__main__":
    main()
