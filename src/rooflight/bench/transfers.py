"""Bandwidth between the host's memory and the device's."""

from collections.abc import Iterator

import torch

from rooflight.bench.timing import Load, measure_load
from rooflight.core.roofs import Transfer

TRANSFER_BYTES = 256 << 20


def transfer_rates(device: torch.device, transfer_bytes: int = TRANSFER_BYTES) -> Iterator[Transfer]:
    """To the device and back, from page-locked memory and from ordinary memory. Nothing on a CPU, which is its host."""
    if device.type == "cpu":
        return
    there = torch.empty(transfer_bytes, dtype=torch.uint8, device=device)
    for pinned in (True, False):
        host = torch.randint(256, (transfer_bytes,), dtype=torch.uint8)
        host = host.pin_memory() if pinned else host
        for direction, target, source in (("host to device", there, host), ("device to host", host, there)):
            name = f"{direction}, {'pinned' if pinned else 'pageable'}"
            # Without non_blocking the host would wait after each copy, and the wait would be measured.
            load = Load(
                name=name,
                unit="B/s",
                work=transfer_bytes,
                run=lambda target=target, source=source: target.copy_(source, non_blocking=True),  # type: ignore[misc]
            )
            yield Transfer(
                direction=direction,  # type: ignore[arg-type]
                pinned=pinned,
                bytes=transfer_bytes,
                measured=measure_load(load, device),
            )
