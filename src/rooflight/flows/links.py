"""`rooflight bench links`: what devices of this machine can say to each other, and how fast."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rooflight.core.benches import LinkBenchmark, LinkRow
from rooflight.core.codec import read_json, to_json
from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError, refuse_seconds
from rooflight.core.files import refuse_unwritable
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuSpec, Link
from rooflight.core.units import show_bytes, show_bytes_per_second, show_percent, show_seconds
from rooflight.flows.answer import keep_answer
from rooflight.flows.roof import catalogued, device_name

CPU_RANKS = 2
MOST_RANKS = 64  # processes on one machine; each holds PyTorch, some 300 MB
SIZES = (512, 16 * 2**10, 512 * 2**10, 16 * 2**20)
GPU_SIZES = (*SIZES, 512 * 2**20)
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|B|K|KB|KIB|M|MB|MIB|G|GB|GIB)")
SCALES = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def links(
    *,
    gpus: int | None = None,
    sizes: Sequence[str] = (),
    backend: str = "auto",
    limit_seconds: float = 300.0,
    out: Path | None = None,
    console: Console | None = None,
) -> Report | None:
    """All-reduce, all-gather, reduce-scatter and send-receive by message size, each checked before it is timed.

    Starts its own ranks, or is one of torchrun's; then only rank 0 has a report, the others None.
    gpus           how many; with gloo, processes. None: all GPUs, or two processes; torchrun's ranks if it started them
    sizes          of the message: "512", "16KiB", "1MiB"; none: 512 B to 16 MiB, on GPUs to 512 MiB
    backend        nccl, gloo; auto: nccl with two GPUs or more
    limit_seconds  after which ranks that are not done are ended
    raises         ConfigError for what cannot be asked, BackendError if a rank dies or a result is wrong
    """
    import torch

    from rooflight.bench.links import LinksTask, RanksAnswer, run_rank
    from rooflight.bench.ranks import run_ranks, under_torchrun
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.hardware.process import busy_cores

    console = console or Silent()
    if out:
        refuse_unwritable(out)
    refuse_seconds("--limit", limit_seconds)
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    joined = under_torchrun()
    if joined:
        gpus = joined_ranks()
    chosen, ranks, why = pick_ranks(backend, gpus, seen)
    message_sizes = tuple(map(parse_size, sizes)) or (GPU_SIZES if chosen == "nccl" else SIZES)
    if not joined or os.environ["RANK"] == "0":
        console.say(f"{chosen}, {ranks} ranks: {why}")
    busy = busy_cores()  # asked before the ranks load the machine themselves
    with tempfile.TemporaryDirectory(prefix="rooflight-links-") as folder:
        file = Path(folder) / "answer.json"
        task = LinksTask(
            backend=chosen,  # type: ignore[arg-type]
            sizes=tuple(sorted(message_sizes)),
            limit_seconds=limit_seconds,
            answer=str(file),
        )
        if joined:
            found = run_rank(task)
        else:
            run_ranks("rooflight.bench.links", to_json(task, indent=None), ranks=ranks, seconds=limit_seconds)
            found = read_json(RanksAnswer, file)
    if joined and os.environ["RANK"] != "0":
        return None
    machine = detect()
    where = torch.device("cuda" if chosen == "nccl" else "cpu")
    device = device_name(where, machine)
    smallest = min(row.bytes for row in found.rows)
    answer = LinkBenchmark(
        backend=chosen,
        ranks=found.ranks,
        device=device,
        dtype="float32",
        rows=found.rows,
        latency_seconds={row.collective: row.seconds.median for row in found.rows if row.bytes == smallest},
        not_run=found.not_run,
        link=link_between(catalogued(where), found.ranks),
        environment=environment(device, threads=1, settings=busy),
    )
    return keep_answer(Report(answer=answer, tables=_tables(answer), notes=_notes(answer)), out)


def pick_ranks(backend: str, asked: int | None, gpus: int) -> tuple[str, int, str]:
    """Backend, number of ranks, and why; raises ConfigError for what is not here.

    gpus  that PyTorch sees
    """
    if backend not in ("auto", "nccl", "gloo"):
        raise ConfigError(f"--backend {backend}: it is auto, nccl or gloo.")
    if asked is not None and asked < 2:
        raise ConfigError(f"--gpus {asked}: a link needs 2 or more.")
    if backend == "nccl" and gpus < 2:
        raise ConfigError(f"--backend nccl needs two GPUs, PyTorch sees {gpus}. Try --backend gloo.")
    if backend == "gloo" or gpus < 2:
        why = "as asked" if backend == "gloo" else f"PyTorch sees {gpus} GPUs, so processes on the CPU talk"
        if (asked or 0) > MOST_RANKS:
            raise ConfigError(f"--gpus {asked}: at most {MOST_RANKS} processes are started on one machine.")
        return "gloo", asked or CPU_RANKS, why
    if asked is not None and asked > gpus:
        raise ConfigError(f"--gpus {asked}: PyTorch sees {gpus}.")
    return "nccl", asked or gpus, f"PyTorch sees {gpus} GPUs"


def joined_ranks() -> int:
    """How many ranks torchrun says there are; raises ConfigError for what it cannot have set."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        word = os.environ[name]
        if not (word.isascii() and word.isdigit()):
            raise ConfigError(f"{name}={word} is no whole number, as torchrun sets it. Try without it, or torchrun.")
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if rank >= ranks:
        raise ConfigError(f"RANK={rank} with WORLD_SIZE={ranks}: ranks count from 0. Try torchrun, which sets both.")
    return ranks


def parse_size(word: str) -> int:
    """`16KiB` → 16384. K, KB and KiB are the same here: powers of 1024, as in nccl-tests."""
    found = SIZE.fullmatch(word.strip().upper())
    if found is None:
        raise ConfigError(f"--sizes {word}: no size. Try 512, 16KiB or 1MiB.")
    count = round(float(found.group(1)) * SCALES[found.group(2)[:1]])
    if not 1 <= count <= 2**35:
        raise ConfigError(f"--sizes {word}: it must be between 1 byte and 32 GiB.")
    return count


def link_between(spec: GpuSpec | None, ranks: int) -> Link | None:
    """The fastest of the GPU's links that reaches so many; None: not known."""
    reaching = [link for link in spec.links if link.devices is None or link.devices >= ranks] if spec else []
    return max(reaching, key=lambda link: link.bytes_per_second, default=None)


def _tables(answer: LinkBenchmark) -> tuple[Table, ...]:
    title = f"{answer.backend}, {answer.ranks} ranks, {answer.dtype}, {answer.device}"
    columns = ["collective", "message", "median", "quartiles", "algorithm", "bus"]
    if answer.link:
        columns.append(f"of {answer.link.name}")
    rows = tuple(_cells(row, answer.link) for row in answer.rows)
    tables = [Table(title=title, columns=tuple(columns), rows=rows)]
    if answer.not_run:
        left_out = tuple((each.what, each.reason) for each in answer.not_run)
        tables.append(Table(columns=("not run", "why"), rows=left_out))
    return tuple(tables)


def _cells(row: LinkRow, link: Link | None) -> tuple[str, ...]:
    cells = (
        row.collective,
        show_bytes(row.bytes),
        show_seconds(row.seconds.median),
        f"{show_seconds(row.seconds.low)} – {show_seconds(row.seconds.high)}",
        show_bytes_per_second(row.algorithm_bytes_per_second),
        show_bytes_per_second(row.bus_bytes_per_second),
    )
    return (*cells, show_percent(row.bus_bytes_per_second / link.bytes_per_second)) if link else cells


def _notes(answer: LinkBenchmark) -> tuple[str, ...]:
    latencies = ", ".join(f"{name} {show_seconds(seconds)}" for name, seconds in answer.latency_seconds.items())
    smallest = show_bytes(min(row.bytes for row in answer.rows))
    notes = [
        f"Latency, {smallest}: {latencies}.",
        "Every result was found right on all ranks before it was timed. Algorithm bandwidth is message / time; bus "
        "bandwidth is what a link carries, as nccl-tests count it.",
    ]
    if answer.backend == "gloo":
        notes.append("gloo on one machine: processes talk over its loopback interface, so no link is measured.")
    elif answer.link is None:
        notes.append("What the link between these GPUs could carry is not known here.")
    return tuple(notes)
