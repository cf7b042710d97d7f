"""Out of memory: which errors mean it, and what to do before trying again."""

import gc

import torch

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
