"""What every test shares: GPU tests run only where there is a GPU, and no test leaves another number of threads."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """A worker's main function sets its process's threads; run inside a test, it must not round the next one's sums."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs more GPUs than PyTorch sees."""
    needed = 2 if item.get_closest_marker("multi_gpu") else 1 if item.get_closest_marker("gpu") else 0
    if needed:
        import torch

        if torch.cuda.device_count() < needed:
            pytest.skip(f"needs {needed} GPU; PyTorch sees {torch.cuda.device_count()}")
