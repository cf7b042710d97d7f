"""Files to pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2.functional import resize

from rooflight.core.errors import DataError
from rooflight.data.decode import decode_image, fit_images
from rooflight.data.jpeg import decode_plain_jpeg, jpeg_decoder
from rooflight.data.pipeline import Pipeline, Resize


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


def photo(tmp_path: Path, mode: str = "RGB", size: tuple[int, int] = (61, 47), **options: object) -> Path:
    """A JPEG with edges and colour."""
    y, x = np.mgrid[: size[1], : size[0]]
    pixels = np.stack([x * 4 % 256, y * 5 % 256, (x * y) % 256], -1).astype(np.uint8)
    path = tmp_path / f"{mode}.jpg"
    Image.fromarray(pixels).convert(mode).save(path, quality=90, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_decoded_as_pillow_does(tmp_path: Path, mode: str, channels: int) -> None:
    path = photo(tmp_path, mode)
    with Image.open(path) as file:
        expected = np.array(file.convert("L" if channels == 1 else "RGB")).reshape(47, 61, channels)
    assert np.array_equal(decode_image(path, channels).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_its_exif_data_asks(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = photo(tmp_path, exif=exif)
    with Image.open(path) as file:
        expected = np.array(ImageOps.exif_transpose(file))
    assert expected.shape[:2] == ((47, 61) if orientation < 5 else (61, 47))
    assert np.array_equal(decode_image(path, 3).permute(1, 2, 0).numpy(), expected)


def test_the_fast_decoder_takes_plain_files_and_leaves_the_others(tmp_path: Path) -> None:
    pytest.importorskip("simplejpeg")
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = photo(tmp_path).read_bytes()
    assert decode_plain_jpeg(plain) is not None
    assert decode_plain_jpeg(plain[:-300]) is None
    assert decode_plain_jpeg(photo(tmp_path, exif=exif).read_bytes()) is None
    assert decode_plain_jpeg(photo(tmp_path, "CMYK").read_bytes()) is None
    assert decode_plain_jpeg(b"") is None
    assert jpeg_decoder()[0] == "simplejpeg"


@pytest.mark.parametrize("cut", [0, 100, -300])
def test_a_jpeg_that_is_cut_off_is_named(tmp_path: Path, cut: int) -> None:
    path = photo(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"RGB\.jpg cannot be decoded"):
        decode_image(path, 3)


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png")
    assert decode_image(tmp_path / "palette.png", 3)[:, 0].T.tolist() == [[10, 20, 30], [200, 100, 0]]


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 30)])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_smallest_and_longest_pictures_are_fitted(tmp_path: Path, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", size, (200, 100, 50)).save(path)
    image = decode_image(path, 3)
    assert image.shape == (3, size[1], size[0])
    fitted = fit_images(image[None], 3, 28, 28)[0].int()
    assert (fitted - torch.tensor([200, 100, 50]).view(3, 1, 1)).abs().max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (28, 28), (90, 61), (700, 1100)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_fitted_to_the_same_bytes_as_the_pipeline_resizes_them(size: tuple[int, int], channels: int) -> None:
    images = torch.randint(0, 256, (2, channels, *size), generator=torch.Generator().manual_seed(0)).byte()
    for fitted in ((40, 24), (1, 1), (1, 5)):
        resize = Pipeline([Resize(fitted)])
        expected = resize.apply(images, resize.draw(range(2)))
        assert torch.equal(fit_images(images, channels, *fitted), expected)
        last = images.contiguous(memory_format=torch.channels_last)
        assert torch.equal(fit_images(last, channels, *fitted), expected)
