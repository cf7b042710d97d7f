"""How a step is run, apart from what the model is: what moves its time on one and the same GPU."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The switches of the software, and the host.

    tf32               which float32 products may run in TensorFloat-32 where the device has it: torch's own default is
                       the convolutions alone
    torch_version      (major, minor); None: a current one
    slow_host          how much longer this host takes to issue an operator than the usual one
    slow_gpu           how much longer this card takes than its data sheet lets expect: its cooling, its power limit
    recomputes         backward runs forward once more: activation checkpointing of every block
    graphed            the step is one CUDA graph, which the host issues at once
    waits              the host waits for every step before it begins the next, as a benchmark does that times each
    host_input_bytes   what the step copies from the host before it starts: a batch that was not put on the device
    """

    channels_last: bool = False
    tf32: Literal["none", "convolutions", "all"] = "convolutions"
    compiled: bool = False
    graphed: bool = False
    slow_host: float = 1.0
    slow_gpu: float = 1.0
    recomputes: bool = False
    torch_version: tuple[int, int] | None = None
    waits: bool = False
    host_input_bytes: float = 0.0

    def product_dtype(self, kind: str, dtype: str) -> str:
        """What products of a kind and dtype are multiplied in."""
        turned = self.tf32 == "all" or (self.tf32 == "convolutions" and kind == "convolution")
        return "tfloat32" if dtype == "float32" and turned else dtype
