"""What every test shares: GPU tests run only where there is a GPU."""

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs more GPUs than PyTorch sees."""
    needed = 2 if item.get_closest_marker("multi_gpu") else 1 if item.get_closest_marker("gpu") else 0
    if needed:
        import torch

        if torch.cuda.device_count() < needed:
            pytest.skip(f"needs {needed} GPU; PyTorch sees {torch.cuda.device_count()}")
