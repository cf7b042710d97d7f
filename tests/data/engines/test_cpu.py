"""The CPU engine against the reference, and against itself in other batches, threads and layouts."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from rooflight.core.errors import BackendError, ShapeError
from rooflight.data import pipeline as pl
from rooflight.data.engines.cpu import CpuEngine
from rooflight.data.pipeline import reference
from tests.data.engines.programs import MAIN, NORMALIZE, POINTWISE, REST, off_by, pictures, program_of

pytest.importorskip("numba")

ENGINE = CpuEngine()
LEVELS = pl.ToDtype("uint8")


@pytest.mark.parametrize("name", [*POINTWISE, *REST])
@pytest.mark.parametrize("channels", [3, 1])
def test_the_pixels_are_the_references(name: str, channels: int) -> None:
    operations = (POINTWISE | REST)[name]
    images = pictures(8, channels=channels)
    program = program_of(operations, images)
    expected, found = reference.run(program, images), ENGINE.run(program, images)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    one = 1.0 if program.dtype == "uint8" else max(map(abs, program.scale))
    # float32 sums in another order: a level rounds the other way, or a nearest pixel is its neighbour
    assert off_by(found, expected, 1.01 * one) < 0.001
    assert off_by(found, expected, 0.01 * one) < 0.005


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_torchvision_itself_resizes_to_the_same_bytes(interpolation: str) -> None:
    from torchvision.transforms.v2 import InterpolationMode, functional

    images = pictures(4, size=64)
    for size in (5, 20, 45, 90):
        program = program_of((pl.Resize((size, size), interpolation=interpolation), LEVELS), images)
        expected = functional.resize(images, [size, size], InterpolationMode(interpolation), antialias=True)
        assert torch.equal(ENGINE.run(program, images), expected)
        assert torch.equal(reference.run(program, images), expected)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_sample_is_the_same_in_any_batch(batch: int) -> None:
    images = pictures(64)
    whole = ENGINE.run(program_of((*MAIN, NORMALIZE), images), images)
    for first in range(0, 64, batch):
        part = images[first : first + batch]
        program = program_of((*MAIN, NORMALIZE), part, ids=range(first, first + len(part)))
        assert torch.equal(ENGINE.run(program, part), whole[first : first + batch])


@pytest.mark.parametrize("last", [False, True])
def test_a_result_goes_only_where_it_fits(last: bool) -> None:
    images = pictures(4)
    program = replace(program_of((*MAIN, NORMALIZE), images), channels_last=last)
    expected = ENGINE.run(program, images)
    out = torch.empty_like(expected)
    assert ENGINE.run(program, images, out) is out
    assert torch.equal(out, expected)
    other = torch.contiguous_format if last else torch.channels_last
    for wrong in (
        torch.empty(2, 2),
        out[:3],
        out.double(),
        out[..., 1:],
        torch.empty(out.shape, memory_format=other),
    ):
        with pytest.raises(ShapeError, match="this program fills float32"):
            ENGINE.run(program, images, wrong)


def test_threads_and_memory_layout_change_nothing() -> None:
    images = pictures(16)
    program = program_of((*MAIN, NORMALIZE), images)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = ENGINE.run(program, images)
        torch.set_num_threads(3)
        assert torch.equal(ENGINE.run(program, images), alone)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(ENGINE.run(program, images.contiguous(memory_format=torch.channels_last)), alone)
    assert torch.equal(ENGINE.run(program, images.flip(3).flip(3)[:, :, :, :]), alone)
    wide = torch.cat([images, images], 3)[..., :40]  # rows that lie apart
    assert torch.equal(ENGINE.run(program, wide), alone)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("last", [False, True])
def test_every_dtype_and_layout(dtype: str, last: bool) -> None:
    images = pictures(5)
    operations = (*MAIN, LEVELS) if dtype == "uint8" else (*MAIN, pl.ToDtype(dtype, scale=True), NORMALIZE)
    program = program_of(operations, images, channels_last=last)
    assert program.dtype == dtype
    expected, found = reference.run(program, images), ENGINE.run(program, images)
    assert found.dtype == expected.dtype
    assert found.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    assert off_by(found, expected, 1.01 if dtype == "uint8" else 0.02) < 0.001


def test_the_result_goes_where_it_is_told() -> None:
    images = pictures(3)
    program = program_of((*MAIN, NORMALIZE), images)
    out = torch.full((3, 3, 32, 32), -9.0)
    assert ENGINE.run(program, images, out) is out
    assert torch.equal(out, ENGINE.run(program, images))


def test_samples_are_mixed_as_the_reference_mixes() -> None:
    images = pictures(6)
    for operations in ((NORMALIZE, pl.MixUp(num_classes=10)), (NORMALIZE, pl.CutMix(num_classes=10))):
        program = program_of(operations, images)
        assert program.mix is not None
        torch.testing.assert_close(ENGINE.run(program, images), reference.run(program, images))


FORKED = """
import os
from tests.data.engines.test_cpu import ENGINE, MAIN, NORMALIZE, pictures, program_of
images = pictures(16)
program = program_of((*MAIN, NORMALIZE), images)
ENGINE.run(program, images)
child = os.fork()
if child == 0:
    os._exit(0 if ENGINE.run(program, images).isfinite().all() else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_has_threads_of_its_own() -> None:
    """In a process of its own: OpenMP's threads, which other tests have started, do not outlive a fork."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120, env=environment)


def test_what_it_cannot_do_is_said() -> None:
    images = pictures(2)
    program = program_of(MAIN, images)
    assert ENGINE.refuses(program, images) is None
    assert "2 channels" in str(ENGINE.refuses(program, images[:, :2]))
    with pytest.raises(ShapeError, match="uint8"):
        ENGINE.run(program, images.float())
    with pytest.raises(BackendError, match="2 channels"):
        ENGINE.run(replace(program, channels=2, source_channels=2), images[:, :2])


def test_without_numba_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    images = pictures(1)
    assert "rooflight[augment]" in str(ENGINE.refuses(program_of(MAIN, images), images))
