"""The roofs that `rooflight bench roofs` measures on a CPU, beside independent measurements of the same, in one run.

    python -m benchmarks.roofs --out benchmarks/results/roofs-DATE.json

Products: the one that `bench roofs` reports, beside NumPy's (OpenBLAS in its wheels) at its best of the same shape and
three cubes. Memory: our copy and triad beside STREAM's, compiled here from stream.c, over as many bytes. They take
turns, after a rest in which the other library's threads stop spinning. Needs a C compiler with OpenMP, and an idle
machine.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from rooflight.core.codec import to_json
from rooflight.core.errors import BackendError
from rooflight.core.files import write_file
from rooflight.core.types import Environment, Measurement

if TYPE_CHECKING:
    from rooflight.bench.timing import Load

REST_SECONDS = 0.1
FLAGS = ("-O3", "-fopenmp", "-shared", "-fPIC", "-fno-tree-loop-distribute-patterns")  # no memcpy
# gcc 12's AVX-512 loops are slower than its AVX2 ones on a Zen 4: the faster of the two is the peer.
TARGETS = (("-march=native",), ("-mavx2", "-mfma"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One roof and an independent measurement of the same."""

    name: str
    peer: str
    ours: Measurement
    theirs: Measurement
    ratio: float  # ours / theirs: the median over rounds that ran both
    ratio_low: float  # quartiles
    ratio_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The whole result, as it is stored."""

    environment: Environment
    load_average: str  # before the run
    compiler: str
    numpy_blas: str
    rows: tuple[Check, ...]


def main() -> None:
    """Take turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    # OpenBLAS and libgomp read these when they are loaded, which importing torch and numpy does.
    threads = len(os.sched_getaffinity(0))
    os.environ |= {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    result = check(arguments.rounds)
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result))


def check(rounds: int) -> Checks:
    """Products in float32 and float64, copy and triad."""
    import numpy as np
    import torch

    from rooflight.bench.bandwidth import working_set_bytes
    from rooflight.bench.rates import load_average
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment

    load = load_average()
    machine = detect()
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    numpy_blas = f"{blas['name']} {blas['version']}"
    cpu = torch.device("cpu")
    set_bytes = working_set_bytes(cpu, memory_bytes=machine.cpu.memory_bytes, cache_bytes=machine.cpu.l3_bytes)
    with tempfile.TemporaryDirectory() as folder:
        streams, compiler = compile_stream(Path(folder), TARGETS if "avx2" in machine.cpu.isa else TARGETS[:1])
        rows = (
            *(_product(dtype, rounds, numpy_blas) for dtype in ("float32", "float64")),
            _memory("copy", set_bytes, streams, rounds),
            _memory("triad", set_bytes, streams, rounds),
        )
    return Checks(
        environment=environment(machine.cpu.model, threads=torch.get_num_threads()),
        load_average=load,
        compiler=compiler,
        numpy_blas=numpy_blas,
        rows=rows,
    )


def compile_stream(folder: Path, targets: Sequence[Sequence[str]]) -> tuple[dict[str, ctypes.CDLL], str]:
    """stream.c as a library for each target, by its flags, and the compiler.

    raises  BackendError without a compiler that has OpenMP
    """
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise BackendError("no C compiler (cc, gcc, clang) was found, which STREAM needs. Try installing gcc.")
    libraries = {}
    for number, target in enumerate(targets):
        library = folder / f"stream-{number}.so"
        command = [compiler, *FLAGS, *target, str(Path(__file__).with_name("stream.c")), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BackendError(f"stream.c does not compile: {done.stderr.strip()[:300]}. Try gcc with libgomp.")
        libraries[" ".join(target)] = ctypes.CDLL(str(library))
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    return libraries, f"{version}; {' '.join(FLAGS)}"


def _product(dtype: str, rounds: int, peer: str) -> Check:
    import numpy as np
    import torch

    from rooflight.bench.products import best_product, product_precision

    cpu = torch.device("cpu")
    with product_precision(cpu, dtype):
        ours, burst = best_product(cpu, dtype)
        M, K, N = (int(side) for side in burst.name.split()[-1].split("×"))
        side = round((M * K * N) ** (1 / 3))
        shapes = {(M, K, N), (side, side, side), *((cube, cube, cube) for cube in (1024, 2048))}
        theirs = max((_numpy_load(np, dtype, shape) for shape in shapes), key=lambda load: _burst(load).median)
        return _compare(f"best product, {dtype}", f"numpy.matmul, {peer}: {theirs.name}", ours, theirs, rounds)


def _numpy_load(np: Any, dtype: str, shape: tuple[int, int, int]) -> "Load":
    from rooflight.bench.timing import Load

    M, K, N = shape
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((M, K)).astype(dtype), generator.standard_normal((K, N)).astype(dtype)
    c = np.empty((M, N), dtype)
    return Load(name=f"{M}×{K}×{N}", unit="FLOP/s", work=2 * M * K * N, run=lambda: np.matmul(a, b, out=c))


def _memory(pattern: str, set_bytes: int, streams: Mapping[str, ctypes.CDLL], rounds: int) -> Check:
    import torch

    from rooflight.bench.bandwidth import copy_load, triad_load

    arrays = [
        torch.randn(set_bytes // (2 if pattern == "copy" else 3) // 4) for _ in range(2 if pattern == "copy" else 3)
    ]
    loads = [_stream_load(pattern, target, library, arrays) for target, library in streams.items()]
    ours = (copy_load if pattern == "copy" else triad_load)(torch.device("cpu"), set_bytes)
    theirs = max(loads, key=lambda load: _burst(load).median)
    return _compare(f"memory, {pattern}", f"{theirs.name}, ordinary stores", ours, theirs, rounds)


def _stream_load(pattern: str, target: str, library: ctypes.CDLL, arrays: Sequence[Any]) -> "Load":
    """STREAM's loop over the arrays, the first of which it writes; checked once against torch."""
    import torch

    from rooflight.bench.timing import Load

    pointers = [ctypes.c_void_p(array.data_ptr()) for array in arrays]
    scale = [ctypes.c_float(3.0)] if pattern == "triad" else []
    function = library.stream_triad if pattern == "triad" else library.stream_copy
    count = arrays[0].numel()

    def run() -> object:
        function(*pointers, *scale, ctypes.c_long(count))
        return arrays  # kept alive: the library sees addresses only

    arrays[0].zero_()
    run()
    expected = arrays[1] + 3.0 * arrays[2] if pattern == "triad" else arrays[1]
    if not torch.allclose(arrays[0], expected, atol=1e-5):
        raise BackendError(f"STREAM's {pattern} computed something else. Try another compiler.")
    return Load(name=f"STREAM {pattern}, {target}", unit="B/s", work=len(arrays) * 4 * count, run=run)


def _compare(name: str, peer: str, ours: "Load", theirs: "Load", rounds: int) -> Check:
    import torch

    from rooflight.bench.rounds import Contestant, take_turns
    from rooflight.bench.timing import summarise

    cpu = torch.device("cpu")
    both = {key: Contestant(run=load.run, device=cpu) for key, load in (("ours", ours), ("theirs", theirs))}
    seconds = take_turns(both, rounds=rounds, rest_seconds=REST_SECONDS)
    rates = {key: [load.work / each for each in seconds[key]] for key, load in (("ours", ours), ("theirs", theirs))}
    ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return Check(
        name=name,
        peer=peer,
        ours=summarise(rates["ours"], name=ours.name, unit=ours.unit),
        theirs=summarise(rates["theirs"], name=theirs.name, unit=theirs.unit),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
    )


def _burst(load: "Load") -> Measurement:
    import torch

    from rooflight.bench.timing import measure_load

    return measure_load(load, torch.device("cpu"))


if __name__ == "__main__":
    main()
