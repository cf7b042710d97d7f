"""Colour spaces against published values, the standard library, Pillow, and themselves there and back."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import ShapeError
from rooflight.data.pipeline import colourspace as cs

RGB = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(3, 1, 1)


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (cs.rgb_to_hsv, cs.hsv_to_rgb),
        (cs.rgb_to_lab, cs.lab_to_rgb),
        *(
            (
                lambda x, s=standard, r=range_: cs.rgb_to_ycbcr(x, s, r),
                lambda x, s=standard, r=range_: cs.ycbcr_to_rgb(x, s, r),
            )
            for standard in ("bt601", "bt709")
            for range_ in ("full", "limited")
        ),
    ],
)
def test_there_and_back(there: object, back: object) -> None:
    assert torch.allclose(back(there(RGB)), RGB, atol=1e-9)  # type: ignore[operator]


def test_hsv_is_the_standard_librarys() -> None:
    ours = cs.rgb_to_hsv(RGB).movedim(1, -1).reshape(-1, 3)
    for mine, (r, g, b) in zip(ours.tolist(), RGB.movedim(1, -1).reshape(-1, 3).tolist(), strict=True):
        assert mine == pytest.approx(colorsys.rgb_to_hsv(r, g, b), abs=1e-12)
    assert cs.rgb_to_hsv(pixel(0, 0, 0)).flatten().tolist() == [0, 0, 0]


def test_full_bt601_is_pillows() -> None:
    rgb = torch.randint(0, 256, (9, 11, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    theirs = torch.from_numpy(np.array(Image.fromarray(rgb.numpy()).convert("YCbCr"))).permute(2, 0, 1)
    ours = cs.rgb_to_ycbcr(rgb.permute(2, 0, 1).double() / 255) * 255
    assert float((ours - theirs).abs().max()) <= 1.0


def test_limited_range_of_white_black_and_the_primaries() -> None:
    """ITU-R BT.601-7, table of 100 % colour bars in 8 bits; BT.709-6 likewise."""
    for standard, rgb, expected in (
        ("bt601", (1, 1, 1), (235, 128, 128)),
        ("bt709", (0, 0, 0), (16, 128, 128)),
        ("bt601", (1, 0, 0), (81, 90, 240)),
        ("bt601", (0, 1, 0), (145, 54, 34)),
        ("bt601", (0, 0, 1), (41, 240, 110)),
        ("bt709", (1, 0, 0), (63, 102, 240)),
        ("bt709", (0, 1, 0), (173, 42, 26)),
        ("bt709", (0, 0, 1), (32, 240, 118)),
    ):
        ours = cs.rgb_to_ycbcr(pixel(*rgb), standard, "limited") * 255  # type: ignore[arg-type]
        assert ours.flatten().tolist() == pytest.approx(expected, abs=0.51)


def test_lab_of_the_primaries() -> None:
    """Values of sRGB's primaries under D65, as they are tabulated widely."""
    for rgb, expected in (
        ((1, 1, 1), (100, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0, 0, 0), (0, 0, 0)),
    ):
        assert cs.rgb_to_lab(pixel(*rgb)).flatten().tolist() == pytest.approx(expected, abs=0.02)


def test_nv12_holds_luma_and_pairs() -> None:
    red, blue = (63, 102, 240), (32, 240, 118)  # BT.709, limited
    luma = torch.tensor([[red[0]] * 2 + [blue[0]] * 2] * 2, dtype=torch.uint8)
    pairs = torch.tensor([[red[1], red[2], blue[1], blue[2]]], dtype=torch.uint8)
    rgb = cs.nv12_to_rgb(torch.cat((luma, pairs)))
    assert rgb.shape == (3, 2, 4)
    assert torch.allclose(rgb[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]), atol=0.01)
    assert torch.allclose(rgb[:, 1, 3], torch.tensor([0.0, 0.0, 1.0]), atol=0.01)
    with pytest.raises(ShapeError, match="NV12"):
        cs.nv12_to_rgb(torch.zeros(4, 4, dtype=torch.uint8))
