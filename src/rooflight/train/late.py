"""A number on its way from the device: asked for at one step, read some steps later, so that nobody waits for it."""

from typing import Any

import torch
from torch import Tensor

from rooflight.train.step_clock import cuda_mark


class LateNumber:
    """One element of a tensor, copied while the device goes on."""

    def __init__(self, value: Tensor) -> None:
        value = value.detach()
        self._event: Any = None
        if value.device.type != "cuda":
            self._copy = value.clone()  # its owner may add to it
            return
        self._copy = torch.empty((), dtype=value.dtype, pin_memory=True)  # from pageable memory a copy would wait
        self._copy.copy_(value, non_blocking=True)
        self._event = cuda_mark(value.device)

    def here(self) -> bool:
        """Can it be read without waiting?"""
        return self._event is None or bool(self._event.query())

    def read(self) -> float:
        """The number; waits if it is not here."""
        if self._event is not None:
            self._event.synchronize()
        return float(self._copy)
