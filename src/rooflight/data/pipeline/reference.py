"""The reference engine: plain torch, on any device, with no branch on a tensor's value. It defines the truth.

It holds whole batches in float32 between its steps: clear, and neither small nor fast.
"""

from typing import Literal

import torch
from torch import Tensor

from rooflight.data.pipeline.colour import recolour
from rooflight.data.pipeline.program import Mix, Pass, Program, check_source

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "uint8": torch.uint8}


def run(program: Program, images: Tensor) -> Tensor:
    """Images through a program on the same device.

    images   uint8 (N, C, H, W), each in the upper left corner where their sizes differ
    returns  (N, program.channels, height, width) of the program's dtype
    raises   ShapeError for images that the program was not made for
    """
    check_source(program, images)
    x = images.float()
    for step in program.passes:
        x = recolour(reshape(x, step), step)
    x = x[:, : program.channels].expand(-1, program.channels, -1, -1)  # one channel of grey, or grey in three
    return finish(x, program)


def reshape(x: Tensor, step: Pass) -> Tensor:
    """The geometry of one pass: (N, C, H, W) levels to (N, C, *step.size) levels."""
    if not step.on_grid:
        count = len(x)
        rows = torch.arange(step.canvas_size[0], device=x.device, dtype=torch.float32).expand(count, -1)
        columns = torch.arange(step.canvas_size[1], device=x.device, dtype=torch.float32).expand(count, -1)
        return warp(resample(x, step, rows, columns), step)
    rows = _line(step, 0, x.device)
    columns = _line(step, 1, x.device)
    inside_rows, rows = _bounded(rows, step.window[:, 0, None], step.window[:, 2, None], step)
    inside_columns, columns = _bounded(columns, step.window[:, 1, None], step.window[:, 3, None], step)
    levels = resample(x, step, rows, columns)
    if step.border != "constant":
        return levels
    inside = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
    return torch.where(inside, levels, _fill(step, x.device))


def _line(step: Pass, axis: Literal[0, 1], device: torch.device) -> Tensor:
    """(N, size): the canvas row (axis 0) or column (axis 1) of each row or column of the output."""
    place = 1 - axis
    output = torch.arange(step.size[axis], device=device, dtype=torch.float32)
    return step.matrix[:, place, place, None] * output + step.matrix[:, place, 2, None]


def _bounded(line: Tensor, start: Tensor, size: Tensor, step: Pass) -> tuple[Tensor, Tensor]:
    """Which of the lines lie in the window, and the lines brought into it by the border's rule."""
    inside = (line >= start) & (line < start + size)
    if step.border == "reflect":  # …, 2, 1, 0, 1, 2, …
        period = (2 * (size - 1)).clamp(min=1)
        place = torch.remainder(line - start, period)
        line = start + torch.minimum(place, period - place)
    elif step.border == "symmetric":  # …, 1, 0, 0, 1, …
        place = torch.remainder(line - start, 2 * size)
        line = start + torch.minimum(place, 2 * size - 1 - place)
    return inside, torch.minimum(torch.maximum(line, start), start + size - 1)


def resample(x: Tensor, step: Pass, rows: Tensor, columns: Tensor) -> Tensor:
    """The canvas at the crossings of rows (N, P) and columns (N, Q): (N, C, P, Q) levels."""
    top, left, height, width = (part[:, None] for part in step.box.unbind(1))
    if step.resizes and step.filter != "nearest":
        across = _weights(columns, left, width, step.canvas[:, 1, None], x.shape[3], step)
        down = _weights(rows, top, height, step.canvas[:, 0, None], x.shape[2], step)
        x = _rounded(torch.matmul(x.double(), across.transpose(1, 2)[:, None]))  # exact: whole parts of 2^22 at most
        return _rounded(torch.matmul(down[:, None], x)).float()
    if step.resizes:
        rows = (rows * (height / step.canvas[:, 0, None])).floor()
        columns = (columns * (width / step.canvas[:, 1, None])).floor()
    down_index = (top + torch.minimum(rows, height - 1)).long()
    across_index = (left + torch.minimum(columns, width - 1)).long()
    x = torch.take_along_dim(x, down_index[:, None, :, None], 2)
    return torch.take_along_dim(x, across_index[:, None, None, :], 3)


def _weights(line: Tensor, start: Tensor, box: Tensor, canvas: Tensor, source: int, step: Pass) -> Tensor:
    """(N, P, source): the share of each source pixel in each canvas pixel along one axis."""
    line, start, box, canvas = (part.double()[:, :, None] for part in (line, start, box, canvas))
    scale = box / canvas
    unit = scale.clamp(min=1) if step.antialias else torch.ones_like(scale)
    support = 2 * unit if step.filter == "bicubic" else unit
    centre = (line + 0.5) * scale
    if not step.antialias:  # beyond the last pixels' centres, the last pixel alone
        centre = torch.minimum(centre.clamp(min=0.5), box - 0.5)
    pixel = torch.arange(source, device=line.device) - start
    first = (centre - support + 0.5).floor().clamp(min=0)
    last = torch.minimum((centre + support + 0.5).floor(), box)
    distance = (pixel + 0.5 - centre).abs() / unit
    weights = _cubic(distance) if step.filter == "bicubic" else (1 - distance).clamp(min=0)
    weights = torch.where((pixel >= first) & (pixel < last), weights, 0.0)
    weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-12)
    # Whole parts of 2^bits, so that the largest fits into 15: what torchvision's uint8 kernel on the CPU multiplies by.
    bits = torch.log2((2**15 - 0.5) / weights.amax((1, 2), keepdim=True)).ceil() - 1
    parts = torch.exp2(bits.clamp(max=22))
    return weights.sign() * (weights.abs() * parts + 0.5).floor() / parts


def _cubic(t: Tensor) -> Tensor:
    """Keys' cubic with a = −½ at distances t from 0."""
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _rounded(x: Tensor) -> Tensor:
    return (x + 0.5).floor().clamp(0, 255)


def warp(canvas: Tensor, step: Pass) -> Tensor:
    """(N, C, *canvas_size) read through each sample's matrix: (N, C, *size)."""
    u, v = project(step.matrix, step.size)
    top, left, height, width = (part[:, None, None] for part in step.window.unbind(1))
    fill = _fill(step, canvas.device)
    if step.interpolation == "nearest":
        column, row = u.round(), v.round()
        inside = (row >= top) & (row < top + height) & (column >= left) & (column < left + width)
        for index in range(step.guards.shape[1]):
            inside = inside & (_coverage(step, index, nearest=True) > 0)
        return torch.where(inside[:, None], _gather(canvas, row, column), fill)
    levels = torch.zeros(1, device=canvas.device)
    share = torch.zeros(1, device=canvas.device)
    u0, v0 = u.floor(), v.floor()
    for row, down in ((v0, v0 + 1 - v), (v0 + 1, v - v0)):
        for column, across in ((u0, u0 + 1 - u), (u0 + 1, u - u0)):
            inside = (row >= top) & (row < top + height) & (column >= left) & (column < left + width)
            weight = torch.where(inside, down * across, 0.0)
            share = share + weight
            levels = levels + weight[:, None] * _gather(canvas, row, column)
    for index in range(step.guards.shape[1]):
        share = share * _coverage(step, index, nearest=False)
    if step.fill is not None:
        levels = (levels - fill) * share[:, None] + fill
    elif step.guards.shape[1]:
        levels = levels * share[:, None]
    return levels.round().clamp(0, 255)


def project(matrix: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where each output pixel comes from: u and v (N, *size), in pixels of what the matrix leads to."""
    y = torch.arange(size[0], device=matrix.device, dtype=torch.float32)[None, :, None]
    x = torch.arange(size[1], device=matrix.device, dtype=torch.float32)[None, None, :]
    m = matrix[:, :, :, None, None]  # no matrix product: it may be rounded to TF32 on a GPU
    w = m[:, 2, 0] * x + m[:, 2, 1] * y + m[:, 2, 2]
    return (m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]) / w, (m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]) / w


def _coverage(step: Pass, index: int, *, nearest: bool) -> Tensor:
    """(N, *size): how far each output pixel lies inside an image between two warps, 0 to 1."""
    u, v = project(step.guards[:, index], step.size)
    height, width = (part[:, None, None] for part in step.guard_sizes[:, index].unbind(1))
    if nearest:
        u, v = u.round(), v.round()
    across = torch.minimum(u + 1, width - u).clamp(0, 1)
    return across * torch.minimum(v + 1, height - v).clamp(0, 1)


def _gather(canvas: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """(N, C, H', W') levels at whole places (N, H', W'); a place outside is brought in, its level means nothing."""
    height, width = canvas.shape[2:]
    index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    return torch.take_along_dim(canvas.flatten(2), index.flatten(1)[:, None], 2).view(*canvas.shape[:2], *row.shape[1:])


def _fill(step: Pass, device: torch.device) -> Tensor:
    return _channels(step.fill or (0.0,), device)


def _channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, C, 1, 1), filled on the device: a copy from the host would make the host wait."""
    return torch.cat([torch.full((1,), value, device=device) for value in values]).view(1, -1, 1, 1)


def finish(x: Tensor, program: Program) -> Tensor:
    """Levels (N, C, H, W) to the result: normalised, erased, mixed, cast, laid out."""
    x = x * _channels(program.scale, x.device) + _channels(program.shift, x.device)
    if program.erase is not None:
        for index, value in enumerate(program.erase_value):
            inside = _inside(program.erase[:, index], program.size)
            x = torch.where(inside, _channels(value, x.device), x)
    if program.mix is not None:
        x = mixed(x, program.mix)
    if program.dtype == "uint8":
        x = x.round().clamp(0, 255)
    memory_format = torch.channels_last if program.channels_last else torch.contiguous_format
    return x.to(DTYPES[program.dtype]).contiguous(memory_format=memory_format)


def _inside(box: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 1, H, W): inside each sample's (top, left, height, width)."""
    y = torch.arange(size[0], device=box.device, dtype=torch.float32)[None, :, None]
    x = torch.arange(size[1], device=box.device, dtype=torch.float32)[None, None, :]
    top, left, height, width = (part[:, None, None] for part in box.unbind(1))
    return ((y >= top) & (y < top + height) & (x >= left) & (x < left + width))[:, None]


def mixed(x: Tensor, mix: Mix) -> Tensor:
    """Each sample blended with its partner, or with the partner's box pasted."""
    other = x[mix.partner]
    pasted = (mix.paste[:, 2] > 0).view(-1, 1, 1, 1)
    weight = mix.weight.view(-1, 1, 1, 1)
    height, width = x.shape[2:]
    blend = x * weight + other * (1 - weight)
    return torch.where(pasted, torch.where(_inside(mix.paste, (height, width)), other, x), blend)
