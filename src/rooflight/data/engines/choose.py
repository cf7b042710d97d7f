"""Which engine runs a pipeline here: all that can are timed on one batch, the fastest is taken, and the answer kept."""

import hashlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.codec import read_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.errors import nearest as nearest_names
from rooflight.core.files import write_file
from rooflight.data.engines.cpu import CpuEngine
from rooflight.data.engines.engine import Engine
from rooflight.data.engines.gpu import GpuEngine
from rooflight.data.engines.torch_engine import TorchEngine
from rooflight.data.pipeline.program import Program

REPEATS = 3  # timed runs of the batch, after one that compiles
HOPELESS = 20  # an engine this many times slower is not run again


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The engine that a pipeline runs on, and why."""

    engine: str
    reason: str
    images_per_second: Mapping[str, float] = field(default_factory=dict)  # of each engine that was timed
    refused: Mapping[str, str] = field(default_factory=dict)  # engine → why it cannot


def engines() -> dict[str, Engine]:
    """Every engine by its name, whether or not it can run here."""
    listed: tuple[Engine, ...] = (GpuEngine(), CpuEngine(), TorchEngine())
    return {engine.name: engine for engine in listed}


def named_engine(name: str) -> Engine:
    """raises ConfigError for a name that no engine has."""
    known = engines()
    if name not in known:
        raise ConfigError(f"there is no engine {name!r}.{nearest_names(name, known)}")
    return known[name]


def choose(
    program: Program,
    images: Tensor,
    *,
    kept: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """The fastest engine for batches like this one, by timing each that can.

    kept     a folder of earlier answers: one for the same machine, versions, threads, shapes and kinds of steps is
             used again; a new one is added. None: measured each time
    returns  with images_per_second of a whole batch, the result's memory included
    """
    path = None if kept is None else kept / f"{_fingerprint(program, images)}.json"
    if path is not None and path.is_file():
        try:
            found = read_json(Choice, path)
            return Choice(
                engine=named_engine(found.engine).name,
                reason=f"{found.reason}; kept from an earlier run in {path}",
                images_per_second=found.images_per_second,
                refused=found.refused,
            )
        except ConfigError:  # damaged, or from another version: measured again, and replaced
            pass
    rates, refused = {}, {}
    for name, engine in engines().items():
        why = engine.refuses(program, images)
        if why is None:
            best = program.samples / max(rates.values()) if rates else None
            rates[name] = program.samples / _seconds(engine, program, images, clock, best)
        else:
            refused[name] = why
    fastest = max(rates, key=rates.__getitem__)
    choice = Choice(engine=fastest, reason=_words(rates, refused), images_per_second=rates, refused=refused)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, to_json(choice))
    return choice


def engines_folder() -> Path:
    """Where answers are kept by default."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cached / "rooflight" / "engines"


def _seconds(engine: Engine, program: Program, images: Tensor, clock: Callable[[], float], best: float | None) -> float:
    """Median time of a batch; after one batch, where that took HOPELESS times the best engine's."""
    taken: list[float] = []
    for _ in range(1 + REPEATS):
        begin = clock()
        engine.run(program, images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        taken.append(clock() - begin)
        if best is not None and taken[-1] > HOPELESS * best:
            return taken[-1]
    return statistics.median(taken[1:])


def _words(rates: Mapping[str, float], refused: Mapping[str, str]) -> str:
    """How it came to be chosen."""
    timed = sorted(rates, key=rates.__getitem__, reverse=True)
    if len(timed) == 1:
        words = f"{timed[0]} alone can"
    else:
        words = "fastest: " + ", ".join(f"{name} {rates[name]:,.0f} images/s" for name in timed)
    return "; ".join([words, *(f"{name} cannot: {why}" for name, why in refused.items())])


def _fingerprint(program: Program, images: Tensor) -> str:
    """A name for everything that the speed of engines depends on, but the values drawn."""
    device = torch.cuda.get_device_name(images.device) if images.is_cuda else _processor()
    steps = [
        (step.size, step.canvas_size, step.resizes, step.antialias, step.filter, step.interpolation, step.border)
        for step in program.passes
    ]
    colours = [(step.slots, step.blur, step.guards.shape[1]) for step in program.passes]
    about = (
        device, torch.__version__, torch.get_num_threads(), tuple(images.shape), images.stride(), steps, colours,
        program.dtype, program.channels_last, program.mix is None, program.erase is None,
        {name: engine.refuses(program, images) for name, engine in engines().items()},
    )  # fmt: skip
    return hashlib.sha256(repr(about).encode()).hexdigest()[:24]


@cache
def _processor() -> str:
    """The CPU's model, from Linux where it tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())
