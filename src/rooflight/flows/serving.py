"""What `bench mlperf` runs: a model in a runtime, probed and tested in a process of its own. Run with python -m."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import BackendError, ConfigError
from rooflight.core.runs import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.bench.scenarios import RunBatch, ScenarioTask
    from rooflight.deploy.runner import Runner

RUNTIMES = ("pytorch", "onnx", "torch-export")
LIBRARY_SAMPLES, LIBRARY_BYTES = 1024, 256 * 2**20  # samples in memory, and the most that they may take
BATCHES = (1, 8, 32, 128)
LONGEST_CALL_SECONDS = 2.0  # a larger batch is not probed after one that took so long
PROBE_SECONDS = 0.5

T = TypeVar("T")
Kind = Literal["model", "run", "artifact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model that can be asked: by its name with random weights, a run folder, or an exported file's folder."""

    kind: Kind
    name: str  # the model's name, or the folder
    runtime: str = "pytorch"

    @property
    def weights(self) -> str:
        """Where they come from, for people."""
        return {"model": "random", "run": "of the run", "artifact": "of the exported file"}[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One process's work: probe the source, or run a test on it."""

    source: Source
    device: str
    threads: int
    test: dict[str, Any] | None = None  # a ScenarioTask; None: probe
    loadgen: bool = True  # False: our own loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How fast a runtime is before any test."""

    runtime: str  # name and version, as the runner gives it
    samples: int  # in memory
    batch_seconds: Mapping[str, float]  # batch size → seconds of a call

    def rate(self, batch: int) -> float:
        """Samples/s at that batch."""
        return batch / self.batch_seconds[str(batch)]

    @property
    def best_batch(self) -> int:
        """The batch with the highest rate."""
        return max(self.batches, key=self.rate)

    @property
    def batches(self) -> tuple[int, ...]:
        """Those that were probed, in order."""
        return tuple(int(batch) for batch in self.batch_seconds)


def find_source(target: str) -> Source:
    """What MODEL, RUN or FILE means; raises ConfigError if it is none of them."""
    from rooflight.deploy.export import ARTIFACT_FILE, read_artifact
    from rooflight.models.registry import MODELS, find_model

    path = Path(target)
    folder = path if path.is_dir() else path.parent
    if target not in MODELS and path.exists():
        if (folder / ARTIFACT_FILE).is_file():
            return Source(kind="artifact", name=str(folder), runtime=read_artifact(folder).format)
        if path.is_file():
            raise ConfigError(
                f"{path} has no {ARTIFACT_FILE} beside it, which says what it takes. Try a file that rooflight export "
                "wrote, in its folder."
            )
        if not (path / "checkpoints").is_dir():
            raise ConfigError(
                f"{path} is no run folder (it has no checkpoints) and holds no exported model. Try a run "
                "that rooflight train wrote, or a model's name."
            )
        return Source(kind="run", name=target)
    find_model(target)  # says so if there is no such name
    return Source(kind="model", name=target)


def exported(source: Source, runtime: str, folder: Path) -> Source:
    """The model or run in a runtime that reads files: exported into the folder, checked against PyTorch."""
    from rooflight.deploy.export import export

    model, preprocessing, classes = _network(source)
    export(model, format=runtime, folder=folder, classes=classes, preprocessing=preprocessing)  # type: ignore[arg-type]
    return Source(kind="artifact", name=str(folder), runtime=runtime)


def takes_images(source: Source) -> bool:
    """Whether the exporters know its input; they read images only."""
    from rooflight.models.registry import find_model

    return source.kind != "model" or find_model(source.name).words is None


def _network(source: Source) -> tuple[Any, Preprocessing, tuple[str, ...]]:
    """The module on the CPU as it was built, what its input is, and the classes."""
    import torch

    from rooflight.flows.checkpoint import load_run
    from rooflight.models.registry import find_model

    if source.kind == "run":
        model, checkpoint = load_run(Path(source.name), torch.device("cpu"))
        return model, checkpoint.pixels, checkpoint.classes
    entry = find_model(source.name)
    channels, height, width = entry.input_shape
    halves = (0.5,) * channels
    shape = Preprocessing(channels=channels, height=height, width=width, mean=halves, std=halves)
    torch.manual_seed(0)
    return entry.build(entry.classes), shape, tuple(str(label) for label in range(entry.classes))


def open_source(source: Source, device: str) -> tuple[Runner, Tensor]:
    """The runner, and the samples that it is asked about: normalised random images or random token ids."""
    import torch

    from rooflight.deploy.export import artifact_runner, read_artifact
    from rooflight.deploy.runner import torch_runner
    from rooflight.flows.checkpoint import load_run
    from rooflight.models.registry import Entry, find_model, random_input
    from rooflight.train.layout import prepare

    where = torch.device(device)
    runner: Runner
    if source.kind == "artifact":
        artifact = read_artifact(Path(source.name))
        runner = artifact_runner(artifact, device=device)
        shape = tuple(size or 1 for size in artifact.input_shape[1:])
        entry = Entry(build=lambda classes: torch.nn.Identity(), input_shape=shape)
    elif source.kind == "run":
        model, checkpoint = load_run(Path(source.name), where)
        runner, entry = torch_runner(model, where), find_model(checkpoint.model)
    else:
        entry = find_model(source.name)
        model, _ = prepare(entry.build(entry.classes), where, torch.float32)
        runner = torch_runner(model, where)
    one = random_input(entry, 1)
    samples = max(1, min(LIBRARY_SAMPLES, LIBRARY_BYTES // one.nbytes))
    return runner, random_input(entry, samples)


def probe(run: RunBatch, name: str, samples: int) -> Probe:
    """Seconds of a call at each batch size, the largest ones left out where a call is slow."""
    from rooflight.bench.contender import inference_seconds

    found: dict[str, float] = {}
    for batch in BATCHES:
        indices = [place % samples for place in range(batch)]

        def call(indices: Sequence[int] = indices) -> object:
            return run(indices)

        found[str(batch)] = inference_seconds(call, PROBE_SECONDS)
        if found[str(batch)] * 4 > LONGEST_CALL_SECONDS:
            break
    return Probe(runtime=name, samples=samples, batch_seconds=found)


def work(job: Job) -> object:
    """A Probe, or a ScenarioResult."""
    import torch

    from rooflight.bench.loadgen import run_loadgen
    from rooflight.bench.scenarios import ScenarioTask, run_fallback
    from rooflight.core.codec import from_plain
    from rooflight.hardware.process import keep_freed_memory

    if job.device == "cpu":
        keep_freed_memory()
    torch.set_num_threads(job.threads)
    runner, samples = open_source(job.source, job.device)

    def run(indices: Sequence[int]) -> Tensor:
        return runner.run(samples[torch.tensor(indices)])

    run([0])  # loads libraries outside of what is timed
    if job.test is None:
        return _on_a_thread(lambda: probe(run, runner.name, len(samples)))
    task: ScenarioTask = from_plain(ScenarioTask, job.test, what="the test")
    run([0] * task.largest_batch)
    if job.loadgen:
        return run_loadgen(task, run)
    return _on_a_thread(lambda: run_fallback(task, run))


def _on_a_thread(do: Callable[[], T]) -> T:
    """What `do` returns, called from a second thread, as LoadGen's system under test is.

    It matters: GNU's OpenMP stops busy waiting once a process has more of its threads than cores. With other processes
    on both cores, the CNN took 120 ms a sample on the main thread and 0.36 ms on a second one.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result()


def main() -> None:
    """The job is the argument; the answer is one line of JSON."""
    try:
        answer = work(from_json(Job, sys.argv[1], what="the job"))
    except (ConfigError, BackendError) as error:
        sys.exit(str(error))
    print(to_json(answer, indent=None), flush=True)


if __name__ == "__main__":
    main()
