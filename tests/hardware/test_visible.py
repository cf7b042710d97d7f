"""Which of the driver's GPUs `cuda:1` is."""

import dataclasses
from pathlib import Path

import pytest

from rooflight.core.types import Gpu
from rooflight.hardware.visible import driver_gpu
from tests.hardware.fakes import found_in_files, found_nvidia

H100 = found_nvidia("h100_sxm5").gpus[0]
FOUR = [dataclasses.replace(H100, index=place, uuid=f"GPU-{place}abc-5") for place in range(4)]
MIXED = found_nvidia("two_mixed").gpus


@pytest.mark.parametrize(
    ("visible", "index", "expected"),
    [
        (None, 2, 2),
        ("3,1", 0, 3),
        ("3,1", 1, 1),
        (" 2 , 0 ", 1, 0),
        ("GPU-2abc", 0, 2),  # the beginning is enough
        ("GPU-3abc-5,GPU-0", 1, 0),
        ("1,9,2", 1, None),  # CUDA stops at the first that there is not
        ("", 0, None),
        ("0,0", 0, None),  # one twice: nothing is seen
        ("1,,2", 1, None),
        ("٢", 0, None),  # a digit, but none of ASCII
        ("GPU-9", 0, None),
        ("MIG-1234", 0, None),
        (None, 4, None),
    ],
)
def test_cuda_visible_devices(visible: str | None, index: int, expected: int | None) -> None:
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    gpu, why = driver_gpu(FOUR, "cuda", index, variables)
    assert (gpu.index if gpu else None) == expected
    assert bool(why) == (expected is None)


def test_different_gpus_are_told_apart_only_in_one_order() -> None:
    gpu, why = driver_gpu(MIXED, "cuda", 1, {})
    assert gpu is None
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in why
    assert driver_gpu(MIXED, "cuda", 1, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})[0] == MIXED[1]
    assert driver_gpu(MIXED, "cuda", 0, {"CUDA_VISIBLE_DEVICES": "GPU-a5"})[0] == MIXED[1]


def test_rocm_is_called_cuda_too(tmp_path: Path) -> None:
    gpu = found_in_files("mi300x", tmp_path).gpus[0]
    two: list[Gpu] = [gpu, dataclasses.replace(gpu, index=1, uuid="0xfeed")]
    assert driver_gpu(two, "cuda", 0, {"HIP_VISIBLE_DEVICES": "1"})[0] == two[1]
    assert driver_gpu(two, "cuda", 0, {"ROCR_VISIBLE_DEVICES": "GPU-feed"})[0] == two[1]
    both = {"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "1"}  # HIP's own goes before CUDA's
    assert driver_gpu(two, "cuda", 0, both)[0] == two[1]
    assert driver_gpu(two, "mps", 0, {}) == (None, "no driver tells of a GPU for mps")
