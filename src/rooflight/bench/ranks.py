"""Ranks started by torchrun on this machine, ended together, and what went wrong in one sentence."""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Sequence

from rooflight.bench.processes import GRACE_SECONDS, Ended, run_process
from rooflight.core.errors import BackendError


def run_ranks(module: str, argument: str, *, ranks: int, seconds: float, grace_seconds: float = GRACE_SECONDS) -> Ended:
    """`python -m MODULE ARGUMENT` in so many ranks, a free port chosen; returns when all of them have ended.

    raises  BackendError in one sentence if a rank fails, dies or is not done in time; none is left then
    """
    launch: Sequence[str] = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}")
    settings = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="rooflight-ranks-") as logs:  # torchrun leaves its own behind
        command = [sys.executable, *launch, f"--log-dir={logs}", "-m", module, argument]
        ended = run_process(command, environment=settings, seconds=seconds, grace_seconds=grace_seconds)
    if ended.code is None:
        raise BackendError(
            f"the {ranks} ranks were {ended.reason}, and were ended. "
            "Try a longer --limit, fewer --gpus or smaller --sizes."
        )
    if ended.code:
        raise BackendError(f"{failed_rank(ended.stderr) or ended.reason}. The other ranks were ended.")
    return ended


def failed_rank(stderr: str) -> str | None:
    """Which rank failed first, and how, from what torchrun writes; None if that names none."""
    cause = re.search(r"Root Cause.*?rank +: (\d+) .*?exitcode +: (-?\d+)", stderr, re.DOTALL)
    if cause is None:
        return None
    rank, code = cause.group(1), int(cause.group(2))
    if code < 0:
        return f"rank {rank} was killed by {signal.Signals(-code).name}"
    # torch marks the lines of a rank that has joined; before that they stand plain.
    said = re.findall(rf"^\[rank{rank}\]: (\w[\w.]*(?:Error|Exception)): (.*)$", stderr, re.MULTILINE)
    said = said or re.findall(r"^(\w[\w.]*(?:Error|Exception)): (.*)$", stderr, re.MULTILINE)
    words = f": {said[-1][1].rstrip('.')}" if said else ""
    return f"rank {rank} ended with exit code {code}{words}"


def under_torchrun() -> bool:
    """Whether torchrun started this process as one of its ranks."""
    return all(name in os.environ for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
