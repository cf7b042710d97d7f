"""The Triton kernel: its pixels in the interpreter, and that it compiles for GPUs that are not here."""

import importlib.util
from types import ModuleType

import pytest
import torch

from rooflight.data import pipeline as pl
from rooflight.data.engines.engine import new_result
from rooflight.data.engines.gpu import TILE, GpuEngine, launch, refuses_program
from rooflight.data.pipeline import reference
from rooflight.data.pipeline.program import CONTRAST
from tests.data.engines.programs import MAIN, NORMALIZE, POINTWISE, REST, off_by, pictures, program_of

pytest.importorskip("triton")

TARGETS = [("cuda", 80), ("cuda", 90), ("cuda", 100), ("cuda", 120), ("hip", "gfx942"), ("hip", "gfx950")]


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file once more, its kernels made for the interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec("rooflight.data.engines.triton_kernels")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(POINTWISE))
def test_the_pixels_are_the_references(interpreted: ModuleType, name: str) -> None:
    images = pictures(3)
    program = program_of(POINTWISE[name], images)
    assert refuses_program(program, 3) is None
    expected = reference.run(program, images)
    found = launch(interpreted.augment, program, images, new_result(program, images))
    one = 1.0 if program.dtype == "uint8" else max(map(abs, program.scale))
    assert off_by(found, expected, 1.01 * one) < 0.002
    assert off_by(found, expected, 0.01 * one) < 0.01


def test_one_channel(interpreted: ModuleType) -> None:
    images = pictures(3, channels=1)
    program = program_of(MAIN, images)
    found = launch(interpreted.augment, program, images, new_result(program, images))
    assert off_by(found, reference.run(program, images), 1.01 / 255) < 0.002


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8"])
def test_dtypes_in_channels_last(interpreted: ModuleType, dtype: str) -> None:
    images = pictures(2)
    operations = (*MAIN, pl.ToDtype("uint8")) if dtype == "uint8" else (*MAIN, pl.ToDtype(dtype, scale=True), NORMALIZE)
    program = program_of(operations, images, channels_last=True)
    found = launch(interpreted.augment, program, images, new_result(program, images))
    assert off_by(found, reference.run(program, images), 1.01 if dtype == "uint8" else 0.02) < 0.002


def test_contrast_twice_takes_another_phase(interpreted: ModuleType) -> None:
    images = pictures(3)
    program = program_of((pl.ColorJitter(contrast=0.4), pl.ColorJitter(0.3, 0.4)), images)
    assert int((program.passes[0].codes == CONTRAST).sum(1).max()) == 2
    found = launch(interpreted.augment, program, images, new_result(program, images))
    assert off_by(found, reference.run(program, images), 1.01 / 255) < 0.002


def test_what_the_kernel_lacks_is_named() -> None:
    images = pictures(2)
    for name in REST:
        assert refuses_program(program_of(REST[name], images), 3) is not None, name
    assert "equalize" in str(refuses_program(program_of(REST["equalize"], images), 3))
    assert "the images are on cpu" in str(GpuEngine().refuses(program_of(MAIN, images), images))


@pytest.mark.parametrize(("backend", "arch"), TARGETS, ids=str)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_kernel_compiles_ahead_of_time(backend: str, arch: int | str, dtype: str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from rooflight.data.engines import triton_kernels

    kernel = triton_kernels.augment
    constants = {
        "slots": 4, "guard_count": 0, "erasures": 1, "bilinear": False, "faded": True, "resizes": True,
        "antialias": True, "nearest": False, "cubic": dtype == "bf16", "channels": 3, "out_channels": 3,
        "last": dtype == "bf16", "first_phase": True, "last_phase": True, "tile": TILE,
    }  # fmt: skip
    pointers = {"source": "*u8", "scratch": "*i32", "sums": "*i32", "out": f"*{dtype}", "codes": "*i32"}
    floats = {"box", "canvas", "window", "matrix", "guards", "guard_sizes", "values", "erase", "erase_value"}
    whole = {"sample_step", "channel_step", "row_step", "pixel_step", "samples", "height", "width", "phase"}
    signature = {}
    for name in kernel.arg_names:
        kind = "constexpr" if name in constants else pointers.get(name, "fp32")
        signature[name] = "*fp32" if name in floats else ("i32" if name in whole else kind)
    for first, last in ((True, True), (True, False), (False, True)):
        chosen = constants | {"first_phase": first, "last_phase": last}
        places = {(kernel.arg_names.index(name),): value for name, value in chosen.items()}
        source = ASTSource(fn=kernel, signature=signature, constexprs=places)
        made = triton.compile(source, target=GPUTarget(backend, arch, 32 if backend == "cuda" else 64))
        assert made.asm["ptx" if backend == "cuda" else "amdgcn"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(POINTWISE))
def test_on_a_gpu_the_pixels_are_the_references_and_the_host_never_waits(name: str) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    images = pictures(64)
    program = program_of((*POINTWISE[name],), images)
    expected = reference.run(program, images)
    on_device = images.to(device)
    GpuEngine().run(program, on_device)  # compiles
    moved = program.to(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = GpuEngine().run(moved, on_device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert off_by(found.cpu(), expected, 1.01 * max(map(abs, program.scale))) < 0.002
