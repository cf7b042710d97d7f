"""What torchrun told this process: which rank it is, and of how many."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rooflight.core.errors import ConfigError

NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One process of a run."""

    rank: int
    world_size: int
    local_rank: int  # among the processes of its host: the number of its GPU
    restarts: int = 0  # how often torchrun has started the group again

    @property
    def is_main(self) -> bool:
        """Does it print, write metrics and save?"""
        return self.rank == 0


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """torchrun's environment; None where there is none, or one process is all there is.

    raises  ConfigError if it is there in part
    """
    if "WORLD_SIZE" not in environment or environment["WORLD_SIZE"] == "1":
        return None
    missing = [name for name in NEEDED if name not in environment]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {environment['WORLD_SIZE']}, but {', '.join(missing)} is not set. Try starting with "
            "torchrun --nproc-per-node N -m rooflight train …"
        )
    rank, world_size, local_rank = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not 0 <= rank < world_size:
        raise ConfigError(f"RANK {rank} of WORLD_SIZE {world_size}: ranks are 0 to {world_size - 1}. Try torchrun.")
    restarts = int(environment.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return Launch(rank=rank, world_size=world_size, local_rank=local_rank, restarts=restarts)
