"""Between host and device."""

import pytest
import torch

from rooflight.bench.transfers import transfer_rates


def test_a_cpu_is_its_own_host() -> None:
    assert list(transfer_rates(torch.device("cpu"))) == []


@pytest.mark.gpu
def test_four_ways_and_pinned_memory_is_no_slower() -> None:
    rows = {(row.direction, row.pinned): row.measured.median for row in transfer_rates(torch.device("cuda"), 64 << 20)}
    assert len(rows) == 4
    for direction in ("host to device", "device to host"):
        assert rows[direction, True] > 0.9 * rows[direction, False]
