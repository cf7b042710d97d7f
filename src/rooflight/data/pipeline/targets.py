"""Masks, boxes and keypoints through the geometry of the images that they belong to.

Coordinates count from the image's upper left corner, so that the middle of the first pixel is (0.5, 0.5), as those of
torchvision's boxes; to a keypoint that names a pixel by its index, add a half.
"""

from dataclasses import replace

import torch
from torch import Tensor

from rooflight.core.errors import ShapeError
from rooflight.data.pipeline.program import Pass, Program
from rooflight.data.pipeline.reference import reshape


def map_masks(program: Program, masks: Tensor, fill: int = 0) -> Tensor:
    """Masks as their images go, by nearest neighbours.

    masks    (N, H, W) of whole numbers below 2²⁴, on the program's device
    fill     what stands where there is no image
    returns  (N, height, width) of the same dtype
    """
    first = program.passes[0]
    if masks.dim() != 3 or len(masks) != program.samples or tuple(masks.shape[1:]) != first.source_size:
        raise ShapeError(
            f"masks are {tuple(masks.shape)}; their images are {program.samples} of {first.source_size}. "
            "Try (N, H, W) of the images' sizes."
        )
    x = masks[:, None].float()
    for step in program.passes:
        x = reshape(x, replace(step, filter="nearest", interpolation="nearest", fill=(float(fill),)))
    return x[:, 0].to(masks.dtype)


def map_points(program: Program, points: Tensor) -> tuple[Tensor, Tensor]:
    """Where points of the sources lie in the results.

    points   (N, K, 2): x, y
    returns  float32 (N, K, 2), and bool (N, K): inside the result
    """
    x = points.double()
    for step in program.passes:
        x = _forward(step, _to_canvas(step, x))
    height, width = program.size
    inside = (x[..., 0] >= 0) & (x[..., 0] <= width) & (x[..., 1] >= 0) & (x[..., 1] <= height)
    return x.float(), inside


def map_boxes(
    program: Program, boxes: Tensor, *, min_size: float = 1.0, min_area: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The upright boxes around what becomes of boxes, cut to the result.

    boxes    (N, K, 4): left, top, right, bottom
    returns  float32 (N, K, 4), and bool (N, K): those that torchvision's SanitizeBoundingBoxes would keep, at least
             min_size wide and high with at least min_area of area
    """
    x = boxes.double()
    for step in program.passes:
        corners = _to_canvas(step, x.unflatten(-1, (2, 2)).flatten(1, 2)).unflatten(1, (-1, 2))
        start = step.window[:, [1, 0]].double()[:, None, None]
        end = start + step.window[:, [3, 2]].double()[:, None, None]
        corners = torch.minimum(torch.maximum(corners, start), end)
        low, high = corners[:, :, 0], corners[:, :, 1]
        around = torch.stack((low, torch.stack((high[..., 0], low[..., 1]), -1), high), 2)
        around = torch.cat((around, torch.stack((low[..., 0], high[..., 1]), -1)[:, :, None]), 2)
        moved = _forward(step, around.flatten(1, 2)).unflatten(1, (-1, 4))
        height, width = step.size
        limit = torch.tensor([width, height], dtype=moved.dtype, device=moved.device)
        moved = torch.minimum(moved.clamp(min=0), limit)
        x = torch.cat((moved.amin(2), moved.amax(2)), -1)
    sides = x[..., 2:] - x[..., :2]
    return x.float(), (sides >= min_size).all(-1) & (sides.prod(-1) >= min_area)


def _to_canvas(step: Pass, points: Tensor) -> Tensor:
    """Points (N, K, 2) of the source on the canvas."""
    start, size = step.box[:, [1, 0]].double()[:, None], step.box[:, [3, 2]].double()[:, None]
    return (points - start) * (step.canvas[:, [1, 0]].double()[:, None] / size)


def _forward(step: Pass, points: Tensor) -> Tensor:
    """Points (N, K, 2) of the canvas in the output: through the inverse of the matrix."""
    inverse = torch.linalg.inv(step.matrix.double())
    known = torch.cat((points - 0.5, torch.ones_like(points[..., :1])), -1)
    moved: Tensor = known @ inverse.transpose(1, 2)
    return moved[..., :2] / moved[..., 2:] + 0.5
