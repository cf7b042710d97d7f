"""The Triton kernels: what they compute, in the interpreter, and what they compile to for GPUs that are not here."""

import importlib.util
from types import ModuleType

import pytest
import torch

pytest.importorskip("triton")

TARGETS = [("cuda", 80), ("cuda", 90), ("cuda", 100), ("cuda", 120), ("hip", "gfx942"), ("hip", "gfx950")]


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file once more, its kernels made for the interpreter."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec("rooflight.bench.kernels")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chains(steps: int, lanes: int, dtype: torch.dtype) -> torch.Tensor:
    """The sum of the four chains after so many steps of x ← x·x + c."""
    lane = torch.arange(lanes)
    c = (-1.5 - (lane % 64) * 0.00625).to(dtype)
    starts = [(lane % 7) * 0.01, (lane % 5) * 0.02, (lane % 11) * 0.03, (lane % 13) * 0.04]
    values = [start.to(dtype) for start in starts]
    for _ in range(steps):
        values = [value * value + c for value in values]
    w, x, y, z = values
    return (w + x) + (y + z)


def test_the_chain_is_what_it_says(interpreted: ModuleType) -> None:
    out = torch.zeros(2 * 128, dtype=torch.float64)
    interpreted.fma_chain[(2,)](out, 3, unroll=2, lanes=128, dtype=interpreted.tl.float64)
    torch.testing.assert_close(out, chains(6, 128, torch.float64).repeat(2))


def test_the_chain_never_settles_and_never_leaves_its_bounds() -> None:
    """Zeros, infinities and constants would draw less power than a real product."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        late, later = chains(1000, 1024, dtype), chains(1001, 1024, dtype)
        assert late.abs().max() <= 4 * 1.95
        assert (late != later).float().mean() > 0.8


def test_a_fused_multiply_add_is_two_flops(interpreted: ModuleType) -> None:
    # 3 programs of 1024 lanes with 4 chains each, 5 loops of 8 steps
    assert interpreted.fma_flops(3, 5) == 2 * 3 * 1024 * 4 * 8 * 5


def test_every_chunk_is_read_as_often_as_said(interpreted: ModuleType) -> None:
    source = torch.arange(3 * 8, dtype=torch.float32)
    sums = torch.zeros_like(source)
    interpreted.read_again[(3,)](source, sums, 3, 6, size=8)  # 6 reads go twice round the 3 chunks
    torch.testing.assert_close(sums, (2 * source.view(3, 8).sum(0)).repeat(3))


@pytest.mark.parametrize(("backend", "arch"), TARGETS, ids=str)
def test_the_kernels_compile_ahead_of_time(backend: str, arch: int | str) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from rooflight.bench import kernels

    target = GPUTarget(backend, arch, 32 if backend == "cuda" else 64)
    code = "ptx" if backend == "cuda" else "amdgcn"

    def compiled(kernel: object, signature: dict[str, str], constants: dict[str, object]) -> str:
        names = list(signature)
        source = ASTSource(
            fn=kernel, signature=signature, constexprs={(names.index(key),): value for key, value in constants.items()}
        )
        return str(triton.compile(source, target=target).asm[code])

    fixed = dict.fromkeys(("unroll", "lanes", "dtype"), "constexpr")
    chain = compiled(
        kernels.fma_chain,
        {"out": "*fp16", "steps": "i32", **fixed},
        {"unroll": 8, "lanes": 1024, "dtype": kernels.tl.float16},
    )
    read = compiled(
        kernels.read_again,
        {"source": "*fp32", "sums": "*fp32", "chunks": "i32", "reads": "i32", "size": "constexpr"},
        {"size": kernels.CHUNK},
    )
    # 8 steps of 4 chains in 8 lanes a thread are 256 multiply-adds; all are fused, and packed in twos from sm_90 on.
    fused = {"cuda": "fma.rn.f16 " if arch == 80 else "fma.rn.f16x2", "hip": "v_pk_fma_f16"}[backend]
    assert chain.count(fused) >= (256 if arch == 80 else 128)
    assert "mul.f16" not in chain
    if backend == "cuda":
        assert "ld.global.cg" in read


@pytest.mark.gpu
def test_the_vector_units_reach_most_of_a_product_without_tensor_cores() -> None:
    from rooflight.bench.kernels import fma_load
    from rooflight.bench.products import matmul_rate
    from rooflight.bench.timing import measure_load

    device = torch.device("cuda", torch.cuda.current_device())
    chain = measure_load(fma_load(device, torch.float32, "chain"), device).median
    assert chain > 0.9 * matmul_rate(device, "float32").median
