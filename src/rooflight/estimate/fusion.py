"""What torch.compile makes of a step: chains of elementwise operators, norms and copies become one kernel each."""

from dataclasses import dataclass, replace

import numpy as np

from rooflight.estimate.table import Mask, OpTable

FUSIBLE = ("elementwise", "normalization", "reduction", "copy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A table whose tensors inside a fused kernel move no bytes, and which operators start a kernel of their own."""

    table: OpTable
    starts: Mask


def fuse(table: OpTable) -> Fused:
    """Join every fusible operator with the fusible ones of its phase that made what it reads.

    A tensor that only they read stays in registers: it is neither written nor read. One that backward needs is written.
    """
    fusible = table.kind(*FUSIBLE)
    phases = np.unique(table.phases, return_inverse=True)[1]
    inside = fusible[table.read_by] & fusible[table.read_from] & (phases[table.read_by] == phases[table.read_from])
    read = np.zeros(len(table))
    np.add.at(read, table.read_by[inside], table.read_bytes[inside])
    wanted = np.zeros(len(table), dtype=bool)  # by an operator outside the kernel
    wanted[table.read_from[~inside]] = True
    joined = np.zeros(len(table), dtype=bool)
    joined[table.read_by[inside]] = True
    kept = np.zeros(len(table), dtype=bool)
    kept[table.read_from[inside]] = True
    fused = replace(
        table,
        bytes_read=np.maximum(0.0, table.bytes_read - read),
        bytes_written=np.where(kept & ~wanted, 0.0, table.bytes_written),
        read_bytes=np.where(inside, 0.0, table.read_bytes),
    )
    return Fused(table=fused, starts=~joined)
