"""PyTorch's switches: set while the body runs, put back even on an error."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from rooflight.bench import settings
from rooflight.core.errors import BackendError


def tf32() -> tuple[str, ...]:
    cudnn = torch.backends.cudnn
    return tuple(each.fp32_precision for each in (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("setting", "read", "inside"),
    [
        (partial(settings.tensor_cores_for_float32, True), tf32, ("tf32", "tf32", "tf32")),
        (partial(settings.tensor_cores_for_float32, False), tf32, ("ieee", "ieee", "ieee")),
        (settings.cudnn_off, lambda: torch.backends.cudnn.enabled, False),
        (settings.onednn_off, lambda: torch.backends.mkldnn.enabled, False),
        (partial(settings.threads, 1), torch.get_num_threads, 1),
    ],
    ids=["TF32 on", "TF32 off", "cuDNN", "oneDNN", "threads"],
)
def test_set_inside_and_put_back_on_an_error(
    setting: Callable[[], AbstractContextManager[object]], read: Callable[[], object], inside: object
) -> None:
    before, seen = read(), []

    def fail() -> None:
        with setting():
            seen.append(read())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [inside]
    assert read() == before


def test_a_switch_that_does_not_take_is_said_and_put_back() -> None:
    class Stuck(SimpleNamespace):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, "none")

    stuck = Stuck(fp32_precision="none")
    with pytest.raises(BackendError, match="'none'; asked was 'tf32'"), settings.fp32_precision(stuck, "tf32"):
        pass
    assert stuck.fp32_precision == "none"
