"""Collectives between ranks: found right, then timed by message size. Each rank runs this with torchrun or python -m.

source  bandwidths as nccl-tests count them, https://github.com/NVIDIA/nccl-tests/blob/master/doc/PERFORMANCE.md
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from rooflight.bench.timing import summarise, synchronise
from rooflight.core.benches import LinkRow, NotRun
from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import BackendError
from rooflight.core.files import write_file

Backend = Literal["nccl", "gloo"]
FLOAT_BYTES = 4  # messages are float32
BLOCKS = 9
BLOCK_SECONDS = 0.02
WARM_UP_CALLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksTask:
    """What the ranks are to time."""

    backend: Backend
    sizes: tuple[int, ...]  # bytes of a message, as nccl-tests count them
    limit_seconds: float  # after which a rank that waits for another gives up
    answer: str  # the file that rank 0 writes


@dataclass(frozen=True, slots=True, kw_only=True)
class RanksAnswer:
    """What the ranks found."""

    ranks: int
    rows: tuple[LinkRow, ...]
    not_run: tuple[NotRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One collective on this rank's tensors."""

    run: Callable[[], object]
    result: Tensor
    expected: Tensor


# Bytes on each device's link for each byte of the message, n ranks.
BUS_FACTOR: Mapping[str, Callable[[int], float]] = {
    "all-reduce": lambda n: 2 * (n - 1) / n,
    "all-gather": lambda n: (n - 1) / n,
    "reduce-scatter": lambda n: (n - 1) / n,
    "send-receive": lambda n: 1.0,
}


def exchange(collective: str, message_bytes: int, device: torch.device) -> Exchange:
    """The collective on a message of so many bytes, rounded up to whole numbers for every rank.

    all-reduce      every rank holds the message, and gets the sum
    all-gather      every rank holds 1/n of the message, and gets all of it
    reduce-scatter  every rank holds the message, and gets 1/n of the sum
    send-receive    every rank sends the message to the next one, and gets the one before's
    """
    rank, n = dist.get_rank(), dist.get_world_size()
    part = max(1, -(-message_bytes // (FLOAT_BYTES * n)))
    whole = part * n
    total = sum(pattern(each, whole, device) for each in range(n))
    assert isinstance(total, Tensor)
    if collective == "all-reduce":
        # In place, as it is used: only the first sum is checked. Later ones grow to infinity, which takes no longer.
        mine = pattern(rank, whole, device)
        return Exchange(run=lambda: dist.all_reduce(mine), result=mine, expected=total)
    if collective == "all-gather":
        mine, out = pattern(rank, part, device), torch.empty(whole, device=device)
        expected = torch.cat([pattern(each, part, device) for each in range(n)])
        return Exchange(run=lambda: _all_gather(out, mine), result=out, expected=expected)
    if collective == "reduce-scatter":
        mine, out = pattern(rank, whole, device), torch.empty(part, device=device)
        return Exchange(
            run=lambda: _reduce_scatter(out, mine), result=out, expected=total[rank * part : (rank + 1) * part]
        )
    mine, out = pattern(rank, whole, device), torch.empty(whole, device=device)
    before, after = (rank - 1) % n, (rank + 1) % n
    return Exchange(
        run=lambda: _send_receive(mine, after, out, before), result=out, expected=pattern(before, whole, device)
    )


def pattern(rank: int, count: int, device: torch.device) -> Tensor:
    """Small whole numbers that differ from rank to rank and from place to place: sums of them are exact in float32."""
    return (torch.arange(count, device=device) % 97 + 100 * (rank + 1)).float()


def _all_gather(out: Tensor, mine: Tensor) -> object:
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # its name until torch 2.13
    return gather(out, mine)


def _reduce_scatter(out: Tensor, mine: Tensor) -> object:
    scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
    return scatter(out, mine)


def _send_receive(mine: Tensor, after: int, out: Tensor, before: int) -> None:
    for request in dist.batch_isend_irecv([dist.P2POp(dist.isend, mine, after), dist.P2POp(dist.irecv, out, before)]):
        request.wait()


def time_links(task: LinksTask, device: torch.device) -> RanksAnswer:
    """Every collective at every size, on all ranks together; the same answer on each.

    raises  BackendError if a result is wrong
    """
    rows: list[LinkRow] = []
    not_run: list[NotRun] = []
    for collective in BUS_FACTOR:
        for size in task.sizes:
            try:
                rows.append(_time(collective, size, device))
            except (RuntimeError, NotImplementedError) as error:  # raised at once, on every rank, if it is not there
                if "support" not in str(error).lower() and "implement" not in str(error).lower():
                    raise
                not_run.append(NotRun(what=collective, reason=f"{task.backend} has none: {_first_line(error)}"))
                break
    return RanksAnswer(ranks=dist.get_world_size(), rows=tuple(rows), not_run=tuple(not_run))


def _time(collective: str, size: int, device: torch.device) -> LinkRow:
    made = exchange(collective, size, device)
    made.run()
    synchronise(device)
    _agree_that_right(collective, made, device)
    for _ in range(WARM_UP_CALLS - 1):
        made.run()
    once = _slowest(_block(made.run, 1, device), device)
    calls = max(1, min(10_000, round(BLOCK_SECONDS / once)))  # the same on every rank, for `once` is
    seconds = [_slowest(_block(made.run, calls, device), device) / calls for _ in range(BLOCKS)]
    n = dist.get_world_size()
    message = FLOAT_BYTES * n * max(1, -(-size // (FLOAT_BYTES * n)))
    measured = summarise(seconds, name=f"{collective}, {message} bytes", unit="s")
    algorithm = message / measured.median
    return LinkRow(
        collective=collective,
        bytes=message,
        seconds=measured,
        algorithm_bytes_per_second=algorithm,
        bus_bytes_per_second=algorithm * BUS_FACTOR[collective](n),
    )


def _block(run: Callable[[], object], calls: int, device: torch.device) -> float:
    dist.barrier()
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    synchronise(device)
    return time.perf_counter() - begin


def _slowest(seconds: float, device: torch.device) -> float:
    """The longest over the ranks."""
    held = torch.tensor([seconds], dtype=torch.float64, device=device)
    dist.all_reduce(held, op=dist.ReduceOp.MAX)
    return float(held)


def _agree_that_right(collective: str, made: Exchange, device: torch.device) -> None:
    """Every rank learns whether all of them hold what they should."""
    wrong = int((made.result != made.expected).sum())
    counted = torch.tensor([wrong], dtype=torch.int64, device=device)
    dist.all_reduce(counted)
    if int(counted):
        raise BackendError(
            f"{collective} of {made.result.nbytes} bytes is wrong: {int(counted)} numbers over all ranks are not what "
            "they should be. The links or their driver cannot be trusted: no speed is told."
        )


def join(backend: Backend, limit_seconds: float) -> torch.device:
    """Join the ranks that torchrun started; returns this one's device."""
    local = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            backend,
            timeout=timedelta(seconds=limit_seconds),
            device_id=device if device.type == "cuda" else None,
        )
    except (dist.DistError, RuntimeError, ValueError) as error:
        asked = f"{os.environ['WORLD_SIZE']} ranks at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise BackendError(
            f"rank {os.environ['RANK']} could not join {asked}: {_first_line(error).rstrip('.')}. "
            "Try torchrun, which starts them all."
        ) from None
    return device


def run_rank(task: LinksTask) -> RanksAnswer:
    """This rank's part, from joining to leaving."""
    torch.set_num_threads(1)  # a rank on a CPU shares it with the others
    device = join(task.backend, task.limit_seconds)
    try:
        return time_links(task, device)
    finally:
        dist.destroy_process_group()


def main() -> None:
    """One rank: the task is the argument, rank 0 writes the answer."""
    task = from_json(LinksTask, sys.argv[1], what="the task")
    answer = run_rank(task)
    if os.environ["RANK"] == "0":
        write_file(Path(task.answer), to_json(answer))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


if __name__ == "__main__":
    main()
