"""Files to pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import resize

from rooflight.core.errors import DataError
from rooflight.data.decode import decode_image, fit_images


def test_png_comes_back_to_the_bit(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    Image.fromarray(image[0].numpy()).save(tmp_path / "a.png")
    assert torch.equal(decode_image(tmp_path / "a.png", 1), image)
    assert torch.equal(decode_image(tmp_path / "a.png", 3), image.expand(3, -1, -1))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"hello"])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
        decode_image(path, 1)


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="no such image file"):
            decode_image(path, 1)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert decode_image(tmp_path / "deep.png", 1).flatten().tolist() == [0, 1, 255]


def test_a_photo_is_turned_as_its_exif_data_asks(tmp_path: Path) -> None:
    photo = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn clockwise
    photo.save(tmp_path / "photo.png", exif=exif)
    assert decode_image(tmp_path / "photo.png", 1)[0].tolist() == [[3, 0], [4, 1], [5, 2]]


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(tmp_path / "bomb.png", 1)


def test_resizing_is_torchvisions_antialiased_bilinear() -> None:
    images = torch.randint(0, 256, (3, 1, 61, 47), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = fit_images(images, 1, 28, 28).int()
    theirs = resize(images, [28, 28], antialias=True).int()
    assert (ours - theirs).abs().max() <= 1  # one level, where rounding falls the other way


def test_grey_by_hand() -> None:
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert fit_images(red, 1, 1, 1).item() == round(0.299 * 255)
    assert fit_images(fit_images(red, 1, 1, 1), 3, 1, 1).flatten().tolist() == [76, 76, 76]
