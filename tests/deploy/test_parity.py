"""The comparison itself, on runners that are wrong in known ways."""

import pytest
import torch
from torch import nn

from rooflight.core.errors import BackendError, ShapeError
from rooflight.deploy.parity import check_parity
from rooflight.deploy.runner import torch_runner

SHAPE = (1, 8, 8)


class Skewed:
    """The reference with something done to its scores, from a given batch size on."""

    name = "skewed"

    def __init__(self, net: nn.Module, add: float = 0.0, rows: int | None = None, from_batch: int = 1) -> None:
        self.inner, self.add, self.rows, self.from_batch = torch_runner(net), add, rows, from_batch

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        scores = self.inner.run(batch)
        if len(batch) < self.from_batch:
            return scores
        return (scores + self.add)[: self.rows]


def test_equal_runners_differ_by_nothing(net: nn.Module) -> None:
    parities = check_parity(torch_runner(net), Skewed(net), SHAPE)
    assert [(p.batch, p.largest_difference, p.agrees) for p in parities] == [(n, 0.0, True) for n in (1, 3, 64)]


def test_difference_is_measured_and_judged_by_batch(net: nn.Module) -> None:
    parities = check_parity(torch_runner(net), Skewed(net, add=0.001, from_batch=3), SHAPE)
    assert [p.agrees for p in parities] == [True, False, False]
    assert parities[1].largest_difference == pytest.approx(0.001, rel=1e-3)


def test_tolerance_follows_dtype_and_scale() -> None:
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    nn.init.ones_(scaled[1].weight)
    ones = torch.ones((1, *SHAPE))  # every score is 64
    by_dtype = {
        dtype: check_parity(torch_runner(scaled), Skewed(scaled), SHAPE, samples=ones, batches=(1,), dtype=dtype)[0]
        for dtype in ("float32", "float16")
    }
    assert by_dtype["float32"].tolerance == pytest.approx(64 * 1e-5)
    assert by_dtype["float16"].tolerance == pytest.approx(64 * 4e-3)


def test_real_samples_are_used_and_repeated() -> None:
    seen: list[torch.Tensor] = []

    class Watching:
        name = "watching"

        def run(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(batch)
            return batch.flatten(1)[:, :2]

    samples = torch.arange(2.0)[:, None, None, None].expand(2, *SHAPE)
    check_parity(Watching(), Watching(), SHAPE, samples=samples, batches=(5,))
    assert seen[0][:, 0, 0, 0].tolist() == [0, 1, 0, 1, 0]


def test_frozen_batch_is_told(net: nn.Module) -> None:
    with pytest.raises(BackendError, match=r"batch of 3 .* shape \(1, 4\), PyTorch of shape \(3, 4\)"):
        check_parity(torch_runner(net), Skewed(net, rows=1), SHAPE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_never_agreement(net: nn.Module, value: float) -> None:
    with pytest.raises(BackendError, match="skewed gives NaN or infinity for a batch of 3"):
        check_parity(torch_runner(net), Skewed(net, add=value, from_batch=3), SHAPE)


@pytest.mark.parametrize("count", [0, 2])
def test_samples_of_another_shape_are_refused(net: nn.Module, count: int) -> None:
    size = 8 if count == 0 else 9
    with pytest.raises(ShapeError, match=r"the model takes \(N, 1, 8, 8\)"):
        check_parity(torch_runner(net), Skewed(net), SHAPE, samples=torch.zeros((count, 1, 8, size)))
