"""Out of memory: which errors mean it, and what to do before trying again."""

import gc

import torch
from torch import Tensor, nn

HOST_MESSAGES = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Was memory what the step lacked, on the device or on the host?"""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in HOST_MESSAGES)


def release(device: torch.device) -> None:
    """Give back what a failed step left: tensors in cycles, and blocks that the allocator keeps."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class RunningStatistics:
    """A copy of a model's buffers, which a forward pass changes, for a step that begins again."""

    def __init__(self) -> None:
        self.own: list[Tensor] = []
        self.copies: list[Tensor] = []

    @torch.no_grad()
    def keep(self, model: nn.Module) -> None:
        """As they are before the step, in one kernel: a clone of each would be a launch of each."""
        own = list(model.buffers())
        if len(own) != len(self.own) or any(a is not b for a, b in zip(own, self.own, strict=True)):
            self.own, self.copies = own, [buffer.clone() for buffer in own]
        elif own:
            torch._foreach_copy_(self.copies, own)

    @torch.no_grad()
    def restore(self) -> None:
        """As they were."""
        if self.own:
            torch._foreach_copy_(self.own, self.copies)
