"""One short real run, shared by the tests that use a trained model; round figures in place of measurements."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rooflight.bench import operators, timing, variants
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.core.types import GpuSpec, Measurement, TimedKernels
from rooflight.data.images import load_images
from rooflight.flows import calibrate, calibrate_kernels
from rooflight.flows import roof as roof_flow
from rooflight.flows.train import train
from rooflight.hardware.detect import detect

ROOF = GpuSpec(
    name="a machine of round figures",
    memory_bytes=2**33,
    bytes_per_second=1e10,
    flops_per_second={"float32": 1e11, "bfloat16": 2e11},
    launch_seconds=1e-6,
    source="made up for the tests of flows",
)


TIMED = TimedKernels(kernels=(), networks=2, median_error=0.1, low=0.9, high=1.1)


def measured(name: str, unit: str, median: float, **more: Any) -> Measurement:
    return Measurement(name=name, unit=unit, median=median, low=median, high=median, n=9, **more)


@pytest.fixture
def round_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call of an operator takes a millisecond; the roof is round figures."""
    memory_bytes = detect().cpu.memory_bytes
    monkeypatch.setattr(operators, "CPU_BATCH", 1)
    monkeypatch.setattr(calibrate_kernels, "time_kernels", lambda *arguments, **options: TIMED)
    monkeypatch.setattr(calibrate, "CLASSES", ("matmul", "attention"))  # an LSTM's step waits for threads too often
    monkeypatch.setattr(variants, "take_turns", lambda contestants: {name: [1e-3] * 9 for name in contestants})
    monkeypatch.setattr(roof_flow, "measured_roof", lambda *arguments: replace(ROOF, memory_bytes=memory_bytes))
    monkeypatch.setattr(timing, "measure_load", lambda load, device: measured(load.name, load.unit, 5e10))


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 bundled training images and 50 test images of each class, as an .npz."""
    images = load_images("bundled", channels=1, height=28, width=28)

    def first(labels: torch.Tensor, count: int) -> np.ndarray:
        return np.concatenate([np.flatnonzero(labels.numpy() == label)[:count] for label in range(10)])

    train_rows, test_rows = first(images.train_labels, 100), first(images.test_labels, 50)
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(
        path,
        x_train=images.train_images[train_rows, 0].numpy(),
        y_train=images.train_labels[train_rows].numpy(),
        x_test=images.test_images[test_rows, 0].numpy(),
        y_test=images.test_labels[test_rows].numpy(),
        classes=np.array(images.info.classes),
    )
    return path


@pytest.fixture(scope="session")
def trained(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run of 3 epochs."""
    config = TrainConfig(data=str(small_data), epochs=3, batch=50, dtype="float32", device="cpu")
    result = train(config, out=tmp_path_factory.mktemp("runs") / "first", roof=ROOF).answer
    assert isinstance(result, TrainResult)
    return result
