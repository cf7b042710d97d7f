"""Traces of recipes, kept on disk: two batches each, from which every other one follows."""

import contextlib
import hashlib
import logging
import os
import pickle
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cases import LORA_RANK, NotPredictedError, Recipe
from rooflight.core.errors import TraceError
from rooflight.core.types import Trace
from rooflight.estimate.table import Array, Index, OpTable, at_batch, table

BATCHES = (4, 8)  # small enough for any model, large enough that no tensor is broadcast by chance
CACHED = ((512,), (1024,))  # tokens in the cache of one more, traced for every model that decodes
PACKAGES = ("torch", "timm", "torchvision", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Lifetimes as columns: bytes, first and last operator, and role of every block."""

    bytes: Array
    first: Index
    last: Index
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What a recipe asks for at two batches."""

    parameters: int
    parameter_bytes: int
    tables: tuple[OpTable, OpTable]
    blocks: tuple[Blocks, Blocks]

    def at(self, batch: float) -> OpTable:
        return at_batch(*self.tables, samples=batch)

    def between(self, other: "Traced", share: float) -> "Traced":
        """What lies this far from here to the other: of one token more with a cache, everything is affine in the cache.

        raises  NotPredictedError if the two are not of the same step
        """
        pairs = zip(self.tables, other.tables, strict=True)
        try:
            tables = [
                replace(at_batch(replace(one, samples=0.0), replace(two, samples=1.0), share), samples=one.samples)
                for one, two in pairs
            ]
        except TraceError as error:
            raise NotPredictedError("the operators change with the length") from error
        blocks = [
            replace(one, bytes=one.bytes + share * (two.bytes - one.bytes))
            for one, two in zip(self.blocks, other.blocks, strict=True)
        ]
        return replace(self, tables=(tables[0], tables[1]), blocks=(blocks[0], blocks[1]))

    def blocks_at(self, batch: float) -> Blocks:
        small, large = self.blocks
        if len(small.bytes) != len(large.bytes):
            raise NotPredictedError("the lifetimes of tensors change with the batch")
        share = (batch - BATCHES[0]) / (BATCHES[1] - BATCHES[0])
        return replace(small, bytes=small.bytes + share * (large.bytes - small.bytes))


def default_folder() -> Path:
    """The user's cache, never the checkout."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path(tempfile.gettempdir())) / "rooflight-traces"


class Traces:
    """Traces by recipe, made when first asked for. A recipe that failed is remembered with its reason."""

    def __init__(self, folder: Path, *, make: bool = True) -> None:
        self.folder = folder
        self.make = make
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, recipe: Recipe) -> Traced:
        """
        raises  NotPredictedError if the model cannot be built or traced, with the reason
        """
        if recipe.model.startswith("decode:") and recipe.input_shape not in CACHED:
            (short,), (long,) = CACHED
            first, second = (self.get(replace(recipe, input_shape=length)) for length in CACHED)
            return first.between(second, (recipe.input_shape[0] - short) / (long - short))
        recipe = self._plainest(recipe)
        path = self.folder / f"{_key(recipe)}.pickle"
        if not path.exists():
            if not self.make:
                raise NotPredictedError("not traced yet")
            try:
                found: Traced | str = make_traces(recipe)
            except NotPredictedError as reason:
                found = str(reason)
            partial = path.with_suffix(f".{os.getpid()}.partial")  # others may be at the same recipe
            partial.write_bytes(pickle.dumps(found))
            partial.replace(path)
        kept = _read(path)
        if isinstance(kept, str):
            raise NotPredictedError(kept)
        return kept

    def fill(self, recipes: Sequence[Recipe], jobs: int, tell: Callable[[str], None] | None = None) -> None:
        """Trace what is missing, in so many processes."""
        missing = [recipe for recipe in recipes if not (self.folder / f"{_key(recipe)}.pickle").exists()]
        if jobs < 2 or len(missing) < 2:
            return
        said = time.monotonic()
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quietly) as pool:
            waiting = {pool.submit(_fill_one, self.folder, recipe) for recipe in missing}
            for number, _ in enumerate(as_completed(waiting), start=1):
                if tell and time.monotonic() - said > 20:
                    said = time.monotonic()
                    tell(f"{number} of {len(missing)} traces")

    def _plainest(self, recipe: Recipe) -> Recipe:
        """Of recipes with one and the same trace, one: fused or not, it matters to models with attention alone."""
        if recipe.fused_attention:
            return recipe
        fused = replace(recipe, task="infer", optimizer=None, fused_attention=True)
        return recipe if "attention" in self.get(fused).tables[0].kinds else replace(recipe, fused_attention=True)


def _quietly() -> None:
    """A process that traces has one core, and models that are built say much."""
    import torch

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")


def _fill_one(folder: Path, recipe: Recipe) -> None:
    with contextlib.suppress(NotPredictedError):  # kept with its reason
        Traces(folder).get(recipe)


@lru_cache(maxsize=300)
def _read(path: Path) -> Traced | str:
    found: Traced | str = pickle.loads(path.read_bytes())
    return found


def make_traces(recipe: Recipe) -> Traced:
    """Trace a recipe at two batches.

    raises  NotPredictedError with the reason
    """
    traces = [_trace(recipe, batch) for batch in BATCHES]
    tables = (table(traces[0]), table(traces[1]))
    if tables[0].names != tables[1].names:
        raise NotPredictedError("the operators change with the batch")
    return Traced(
        parameters=traces[0].parameters,
        parameter_bytes=traces[0].parameter_bytes,
        tables=tables,
        blocks=(_blocks(traces[0]), _blocks(traces[1])),
    )


def _trace(recipe: Recipe, batch: int) -> Trace:
    from benchmarks.accuracy.models import built
    from rooflight.core.types import Workload
    from rooflight.trace.tracer import trace

    model = built(recipe)
    workload = Workload(
        model=recipe.model,
        task="train" if recipe.task == "train" else "infer",
        batch=batch,
        input_shape=recipe.input_shape,
        dtype=recipe.dtype,
        parameter_dtype=recipe.weights,
        optimizer=(recipe.optimizer or "sgd") if recipe.task == "train" else None,
        checkpointing=recipe.checkpointing,
        trainable=recipe.trainable,
        lora_rank=recipe.lora_rank,
        generation=model.generation,
    )
    try:
        return trace(model.build, workload, make_input=model.make_input, loss=model.loss, make_target=model.make_target)
    except Exception as error:  # any model of a library may fail in any way; the reason is counted, not hidden
        raise NotPredictedError(f"cannot be traced: {type(error).__name__}: {str(error)[:160]}") from error


def _blocks(trace: Trace) -> Blocks:
    alive = trace.lifetimes
    return Blocks(
        bytes=np.array([block.bytes for block in alive], dtype=float),
        first=np.array([block.first_op for block in alive], dtype=np.int64),
        last=np.array([block.last_op for block in alive], dtype=np.int64),
        roles=tuple(block.role for block in alive),
    )


def _key(recipe: Recipe) -> str:
    """Name of a recipe's file: the model to be read by a person, the rest as a digest with the versions."""
    versions = [f"{name} {_version(name)}" for name in PACKAGES]
    adapters = () if recipe.lora_rank == LORA_RANK else (recipe.lora_rank,)
    digest = hashlib.sha256(repr((recipe, *adapters, BATCHES, versions)).encode()).hexdigest()[:16]
    return f"{recipe.model.replace(':', '-').replace('/', '_')}-{recipe.task}-{digest}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
