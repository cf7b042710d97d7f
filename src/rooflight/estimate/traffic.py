"""Bytes: how often a kernel passes over its tensors, and how much of what it reads is still in a cache."""

from dataclasses import dataclass

import numpy as np

from rooflight.estimate.device import Device
from rooflight.estimate.table import Array, OpTable

BLOCKS = 4.0  # that are in turn written over: what is read, what is written, a branch, the last one


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes that each operator moves, by where they come from or go to."""

    memory: Array
    cache: Array


def traffic(table: OpTable, gpu: Device) -> Traffic:
    """Bytes to and from device memory, and those that a cache serves.

    A tensor that an earlier operator wrote is in the cache as far as what was moved since leaves room for it: all of it
    while it and all that was moved since fit, none once that is twice the cache. What is written goes to memory in the
    end, unless its block is soon written over: where no backward pass waits for it, the allocator hands out the same
    few blocks again and again, and those that fit beside each other never leave the cache.
    """
    moved = table.bytes
    until = np.cumsum(moved)
    since = until[table.read_by] - moved[table.read_by] - until[table.read_from] + table.read_bytes
    kept = np.clip(2.0 - since / gpu.cache_bytes, 0.0, 1.0)
    cached = np.zeros(len(table))
    np.add.at(cached, table.read_by, kept * table.read_bytes)
    cached = np.minimum(cached, table.bytes_read)
    again = (passes(table) - 1.0) * table.bytes_read
    # A second pass finds in the cache what fits there.
    near = np.clip(2.0 - table.bytes_read / gpu.cache_bytes, 0.0, 1.0)
    dies = table.phase("backward") if table.phase("backward").any() else table.phase("forward")
    over = np.where(dies, np.clip(2.0 - BLOCKS * table.bytes_written / gpu.cache_bytes, 0.0, 1.0), 0.0)
    kept_back = over * table.bytes_written
    return Traffic(
        memory=table.bytes - cached - kept_back + again * (1.0 - near), cache=cached + kept_back + again * near
    )


def passes(table: OpTable) -> Array:
    """How often an operator reads its inputs: statistics come first, and what they are applied to after them."""
    trains = bool(table.phase("backward").any())
    backward = table.named("_backward")
    batch_norm = table.named("batch_norm")
    row_norm = table.named("layer_norm", "rms_norm")
    group_norm = table.named("group_norm")
    # Row norms keep a row in registers; their backward pass reads all again for the gradients of scale and shift.
    twice = (batch_norm & (trains | backward)) | (row_norm & backward) | group_norm
    return np.where(twice, 2.0, 1.0)
