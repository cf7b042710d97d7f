"""The reference engine on a GPU: the CPU's pixels, and a host that never waits."""

import pytest
import torch
from benchmarks.conformance import CASES, pictures

from rooflight.data.pipeline import Normalize, Pipeline
from rooflight.data.pipeline.reference import run

pytestmark = pytest.mark.gpu
NORMALIZE = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("name", list(CASES))
def test_the_pixels_are_the_cpus(name: str) -> None:
    pipeline = Pipeline(CASES[name])
    images = pictures(8)
    program = pipeline.compile(pipeline.draw(range(8), epoch=1), tuple(images.shape[2:]))
    on_cpu, on_gpu = run(program, images), run(program.to("cuda"), images.to("cuda")).cpu()
    assert float(((on_cpu.int() - on_gpu.int()).abs() > 1).float().mean()) < 1e-3


@pytest.mark.parametrize("name", list(CASES))
def test_the_host_does_not_wait(name: str) -> None:
    pipeline = Pipeline([*CASES[name], NORMALIZE])
    images = pictures(4).to("cuda")
    program = pipeline.compile(pipeline.draw(range(4)), tuple(images.shape[2:]))
    torch.cuda.set_sync_debug_mode("error")
    try:
        run(program.to("cuda"), images)
    finally:
        torch.cuda.set_sync_debug_mode("default")
