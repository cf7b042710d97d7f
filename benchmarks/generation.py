"""Text written by the tutorial's LSTM, 1 and 64 streams: Rooflight and its peers, interleaved on one machine.

    python -m benchmarks.generation --peers-python PEERS/bin/python --out benchmarks/results/generation-DATE.json

All have the same weights, trained for an epoch, and write the most probable token after the same prompt, the state
carried from the prompt on: what they write is compared. The tutorial's own loop, which reads the last 20 tokens anew
for each one, is a row of its own: another function.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.rounds import run_worker
from rooflight.core.codec import from_json, to_json
from rooflight.core.files import write_file
from rooflight.core.tables import Table, table_text
from rooflight.core.types import Environment
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

REFERENCE = "rooflight"
PROMPT = "in the beginning"
COMPARED = 20  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A way to generate."""

    name: str
    argument: str
    tokens: int  # of a stream, timed: some seconds' worth
    same: bool = True  # whether it is the same function, so that its tokens must be the same


WRITERS = (
    Writer(name=REFERENCE, argument="rooflight", tokens=4000),
    Writer(name="rooflight, temperature 0.8", argument="rooflight-sampled", tokens=4000, same=False),
    Writer(name="Keras on TensorFlow, predict", argument="keras-tensorflow-predict", tokens=40),
    Writer(
        name="Keras on TensorFlow, predict, window of 20", argument="keras-tensorflow-window", tokens=40, same=False
    ),
    Writer(name="Keras on TensorFlow, call", argument="keras-tensorflow-call", tokens=100),
    Writer(name="Keras on TensorFlow, tf.function", argument="keras-tensorflow-function", tokens=400),
    Writer(name="Keras on TensorFlow, predict_on_batch", argument="keras-tensorflow-batch", tokens=400),
    Writer(name="Keras on JAX, predict", argument="keras-jax-predict", tokens=100),
    Writer(name="Keras on JAX, predict_on_batch", argument="keras-jax-batch", tokens=400),
    Writer(name="Keras on PyTorch, call", argument="keras-torch-call", tokens=400),
    Writer(name="PyTorch, nn.LSTM with carried state", argument="torch-carried", tokens=1000),
    Writer(name="PyTorch, whole text anew", argument="torch-whole", tokens=200),
    Writer(name="PyTorch, window of 20", argument="torch-window", tokens=400, same=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One process of one writer in one round."""

    writer: str
    streams: int
    round: int
    tokens_per_second: float  # of all streams together
    first: tuple[int, ...]  # what the first stream began with


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterRow:
    """Medians over the rounds. The ratio is Rooflight's tokens/s over the writer's in the same round."""

    writer: str
    streams: int
    rounds: int
    tokens_per_second: float
    rooflight_ratio: float
    same_tokens: bool | None  # None: another function, or drawn at random


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The whole result, as it is stored."""

    task: str
    environment: Environment
    command: str
    rows: tuple[WriterRow, ...]
    turns: tuple[Turn, ...]
    failures: tuple[str, ...] = ()


def summarise(turns: Sequence[Turn]) -> tuple[WriterRow, ...]:
    """A row for each number of streams and writer, fastest first."""
    reference = {(turn.streams, turn.round): turn for turn in turns if turn.writer == REFERENCE}
    comparable = {writer.name for writer in WRITERS if writer.same}
    rows = []
    for streams, name in sorted({(turn.streams, turn.writer) for turn in turns}):
        mine = [turn for turn in turns if (turn.streams, turn.writer) == (streams, name)]
        pairs = [(reference[streams, turn.round], turn) for turn in mine]
        rows.append(
            WriterRow(
                writer=name,
                streams=streams,
                rounds=len(mine),
                tokens_per_second=median(turn.tokens_per_second for turn in mine),
                rooflight_ratio=median(ours.tokens_per_second / turn.tokens_per_second for ours, turn in pairs),
                same_tokens=all(ours.first == turn.first for ours, turn in pairs) if name in comparable else None,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.streams, row.rooflight_ratio)))


def main() -> None:
    """Train an epoch, run the rounds, print the table or the JSON, and write the file after every round."""
    arguments = _arguments()
    machine = detect()
    threads = machine.cpu.logical_cores
    result = Generation(
        task=f"write the most probable tokens after {PROMPT!r}, state carried, float32",
        environment=environment(machine.cpu.model, threads=threads),
        command=shlex.join(["python", "-m", "benchmarks.generation", *_public(sys.argv[1:])]),
        rows=(),
        turns=(),
    )
    if arguments.add:
        earlier = from_json(Generation, arguments.out.read_text())
        result = replace(result, turns=earlier.turns, failures=earlier.failures)
    done = 1 + max((turn.round for turn in result.turns), default=-1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        write_weights(weights)
        for number in range(done, done + arguments.rounds):
            result = _round(result, number, weights, threads, arguments)
            if arguments.out:
                write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result) if arguments.json else "\n\n".join(map(table_text, _tables(result.rows))))
    for failure in result.failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if result.failures else 0)


def write_weights(file: Path) -> None:
    """An LSTM after an epoch on part of the King James Bible, and the prompt's ids. No reserved token is ever best."""
    import torch

    from rooflight.core.console import Silent
    from rooflight.core.training import TrainConfig
    from rooflight.data.text.vocabulary import encode
    from rooflight.data.text.windows import Windows
    from rooflight.flows.train_text import find
    from rooflight.models.lstm import Lstm
    from rooflight.train.fit import fit

    config = TrainConfig(model="lstm", epochs=1, batch=128, dtype="float32")
    text = find(config, Silent()).data
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    model = Lstm()
    model.prepare_for(cpu, torch.float32)
    part = replace(text.train, starts=text.train.starts[:: len(text.train.starts) // 20_000])
    batches, test = (Windows(stream, batch=128, seed=0, device=cpu) for stream in (part, text.test))
    fit(model, batches, test, config, dtype=torch.float32, classes=len(text.vocabulary))
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    state["head.bias"][:2] = -1e9
    np.savez(file, prompt=encode(PROMPT.split(), text.vocabulary).astype(np.int64), **state)


def _round(result: Generation, number: int, weights: Path, threads: int, arguments: argparse.Namespace) -> Generation:
    start = number * len(WRITERS) // max(number + 1, arguments.rounds)
    turns, failures = list(result.turns), list(result.failures)
    for streams in arguments.streams:
        for writer in [*WRITERS[start:], *WRITERS[:start]]:
            python = sys.executable if writer.argument.startswith("rooflight") else arguments.peers_python
            # Many streams cost a peer more a token, and Rooflight as much as one: a turn is to last some seconds.
            tokens = max(COMPARED, writer.tokens // (1 if streams == 1 else 4))
            found = run_worker(python, "writers", [writer.argument, *map(str, (weights, streams, tokens, threads))])
            if isinstance(found, str):
                failures.append(f"{writer.name}, {streams} streams, round {number + 1}: {found}")
                print(failures[-1], file=sys.stderr)
                continue
            rate, first = found["tokens_per_second"], found["first"]
            assert isinstance(rate, float)
            assert isinstance(first, list)
            turns.append(
                Turn(
                    writer=writer.name,
                    streams=streams,
                    round=number,
                    tokens_per_second=rate,
                    first=tuple(first[:COMPARED]),
                )
            )
            print(f"round {number + 1} streams {streams} {writer.name}: {rate:,.0f}", file=sys.stderr)
    return replace(result, turns=tuple(turns), rows=summarise(turns), failures=tuple(failures))


def _public(arguments: Sequence[str]) -> list[str]:
    """The command without this machine's paths."""
    return ["PEERS/bin/python" if word.endswith("/python") else word for word in arguments]


def _tables(rows: Sequence[WriterRow]) -> list[Table]:
    answers = {True: "yes", False: "NO", None: "not compared"}
    columns = ("writer", "tokens/s", "Rooflight is", "same tokens")
    return [
        Table(
            title=f"{streams} streams",
            columns=columns,
            rows=tuple(
                (row.writer, f"{row.tokens_per_second:,.0f}", f"{row.rooflight_ratio:,.1f}×", answers[row.same_tokens])
                for row in rows
                if row.streams == streams
            ),
        )
        for streams in sorted({row.streams for row in rows})
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="python of the environment that holds the peers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", action="store_true", help="rounds to those that --out holds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or min(arguments.streams) < 1:
        parser.error("--rounds and --streams must be 1 or more.")
    if arguments.add and not (arguments.out and arguments.out.is_file()):
        parser.error("--add needs the --out of an earlier call.")
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"{arguments.out.parent} is no folder: the result would be lost.")
    return arguments


if __name__ == "__main__":
    main()
