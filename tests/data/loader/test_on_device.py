"""JPEG files decoded on the device: a stand-in for torchcodec's decoder makes libjpeg's pixels, on the CPU."""

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import BackendError, ConfigError
from rooflight.data import gpu_decode
from rooflight.data.jpeg import is_whole_plain_jpeg
from rooflight.data.loader import placement
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.placement import choose_placement, faster_placement
from rooflight.data.loader.rates import measure_rates
from rooflight.data.loader.sources import ArrayImages, ImageFiles
from tests.data.loader.conftest import Corner

CPU = torch.device("cpu")


class Decoders:
    """torchcodec.decoders, as it is called."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def decode_jpeg(self, contents: list[bytes], *, mode: str, device: torch.device) -> list[torch.Tensor]:
        assert mode == "RGB"
        self.calls.append(len(contents))
        try:
            pixels = [np.array(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents]
        except OSError as error:
            raise RuntimeError(f"nvjpegDecode failed: {error}") from None
        return [torch.from_numpy(one).movedim(-1, 0).contiguous().to(device) for one in pixels]


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Decoders:
    made = Decoders()
    monkeypatch.setattr(gpu_decode, "_decoders", lambda: made)
    return made


def seen(loader: Loader, epoch: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(loader.epoch(epoch))


def equal(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) and torch.equal(x, y) for (a, x), (b, y) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("fit", [None, (16, 18)])
def test_the_batches_are_those_of_workers(
    files: ImageFiles, decoders: Decoders, workers: int, fit: tuple[int, int] | None
) -> None:
    source = replace(files, fit=fit)
    settings: dict[str, Any] = {"batch": 16, "seed": 0, "workers": workers, "transform": Corner()}
    expected = seen(Loader(source, **settings))
    assert equal(seen(Loader(source, decode="gpu", **settings)), expected)
    assert sum(decoders.calls) == 35  # every second file is a PNG, which workers decode
    assert len(decoders.calls) == 5  # one call a batch


def test_grey_models_get_grey_images(files: ImageFiles, decoders: Decoders) -> None:
    source = replace(files, channels=1, fit=(16, 18))
    loader = Loader(source, batch=35, seed=0, decode="gpu")
    expected = seen(Loader(source, batch=35, seed=0))
    for (found, labels), (pixels, of) in zip(seen(loader), expected, strict=True):
        assert torch.equal(labels, of)
        assert found.shape == pixels.shape == (35, 1, 16, 18)
        assert (found.int() - pixels.int()).abs().max() <= 1  # the grey of colours, rounded by another library


def test_broken_files_are_found_by_the_hosts_decoder_and_replaced_as_ever(
    files: ImageFiles, decoders: Decoders
) -> None:
    whole = files.paths[5].read_bytes()
    files.paths[5].write_bytes(whole[: len(whole) // 2])  # cut off: its end is missing, so it never comes to the GPU
    damaged = files.paths[9].read_bytes()
    files.paths[9].write_bytes(damaged[:300] + b"\xff\xd9")  # whole by its marks, broken inside
    settings: dict[str, Any] = {"batch": 14, "seed": 0, "transform": Corner(), "max_bad": 0.1}
    plain, on_gpu = Loader(files, **settings), Loader(files, decode="gpu", **settings)
    for epoch in (1, 2):
        assert equal(seen(on_gpu, epoch), seen(plain, epoch))
    assert {bad.sample for bad in on_gpu.bad} == {bad.sample for bad in plain.bad} >= {5}


def test_which_files_a_gpu_may_have() -> None:
    def jpeg(mode: str = "RGB", **options: Any) -> bytes:
        file = io.BytesIO()
        Image.new(mode, (40, 30)).save(file, "JPEG", **options)
        return file.getvalue()

    turned = Image.Exif()
    turned[0x0112] = 6
    assert is_whole_plain_jpeg(jpeg())
    assert is_whole_plain_jpeg(jpeg("L"))
    assert not is_whole_plain_jpeg(jpeg("CMYK"))
    assert not is_whole_plain_jpeg(jpeg(exif=turned))
    assert not is_whole_plain_jpeg(jpeg()[:-2])
    assert not is_whole_plain_jpeg(b"\xff\xd8\xff\xd9")
    assert not is_whole_plain_jpeg(b"")


def test_a_source_without_files_and_a_missing_decoder_are_refused(
    files: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = ArrayImages(np.zeros((4, 8, 8, 3), np.uint8), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ConfigError, match="ArrayImages holds no image files"):
        Loader(arrays, batch=2, seed=0, decode="gpu")
    monkeypatch.setattr(gpu_decode, "_decoders", SimpleNamespace)  # a torchcodec without decode_jpeg
    with pytest.raises(BackendError, match=r"torchcodec 0\.16 or later"):
        Loader(files, batch=2, seed=0, decode="gpu")


def test_the_faster_placement_is_taken_and_both_rates_are_said(
    files: ImageFiles, decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(decode: str) -> Loader:
        return Loader(files, batch=16, seed=0, decode=decode, transform=Corner())  # type: ignore[arg-type]

    found = faster_placement(make, CPU)
    assert set(found.samples_per_second) == {"workers", "gpu"}
    assert found.decode == max(found.samples_per_second, key=found.samples_per_second.__getitem__)
    for rates, best in (((10.0, 20.0), "gpu"), ((20.0, 10.0), "workers")):
        given = iter(rates)
        monkeypatch.setattr(placement, "end_to_end_rate", lambda loader, clock, given=given: next(given))
        found = faster_placement(make, CPU)
        assert found.decode == best
        assert f"workers {rates[0]:,.0f} and cpu {rates[1]:,.0f} images/s" in found.reason


def test_the_stages_say_where_they_run(files: ImageFiles, decoders: Decoders) -> None:
    loader = Loader(files, batch=16, seed=0, workers=2, decode="gpu", transform=Corner())
    assert [(rate.stage, rate.where) for rate in measure_rates(loader)] == [
        ("read", "2 workers"),
        ("decode", "cpu"),
        ("augment", "cpu"),
    ]


def test_a_set_of_one_batch_is_not_compared(files: ImageFiles, decoders: Decoders) -> None:
    found = faster_placement(lambda decode: Loader(files, batch=70, seed=0, decode=decode), CPU)
    assert found.decode == "workers"
    assert "too small to compare" in found.reason


def test_without_a_gpu_workers_decode_and_a_gpu_cannot_be_asked_for(files: ImageFiles) -> None:
    def never(decode: str) -> Loader:
        raise AssertionError

    assert choose_placement("auto", never, CPU).decode == "workers"
    with pytest.raises(ConfigError, match="--decode gpu: this run is on cpu"):
        choose_placement("gpu", never, CPU)


@pytest.mark.gpu
def test_on_a_gpu_batches_hold_the_same_samples_and_nearly_the_same_pixels(files: ImageFiles) -> None:
    pytest.importorskip("torchcodec")
    device = torch.device("cuda", torch.cuda.current_device())
    source = replace(files, fit=(16, 18))
    here, there = (
        list(Loader(source, batch=16, seed=0, workers=2, device=device, decode=decode).epoch(1))
        for decode in ("workers", "gpu")
    )
    for (pixels, labels), (found, of) in zip(here, there, strict=True):
        assert torch.equal(labels, of)
        assert (pixels.int() - found.int()).abs().float().mean() < 4  # chroma stored at half the size is read otherwise


@pytest.mark.gpu
def test_on_a_gpu_the_placement_is_measured(files: ImageFiles) -> None:
    pytest.importorskip("torchcodec")
    device = torch.device("cuda", torch.cuda.current_device())
    found = choose_placement(
        "auto", lambda decode: Loader(files, batch=16, seed=0, device=device, decode=decode), device
    )
    assert set(found.samples_per_second) == {"workers", "gpu"}
