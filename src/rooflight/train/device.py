"""Where a run happens and in what dtype: automatic choices that return their reason."""

from typing import cast

import torch

from rooflight.core.errors import ConfigError
from rooflight.core.training import DtypeName

# CPU extensions that multiply bfloat16 in hardware; without one it is emulated, and ten times slower than float32.
CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16")


def pick_device(asked: str) -> tuple[torch.device, str]:
    """The device that "auto", "cpu", "cuda" or "cuda:1" means here, and why. Raises ConfigError if it is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        if count:
            return torch.device("cuda", 0), f"PyTorch sees {count} GPU{'s' if count > 1 else ''}"
        return torch.device("cpu"), "PyTorch sees no GPU"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise ConfigError(f"--device {asked} is no device. Try auto, cpu, cuda or cuda:1.") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {asked}: Rooflight runs on cpu and cuda (NVIDIA, and AMD under ROCm) for now.")
    if device.type == "cpu":
        if device.index:
            raise ConfigError(f"--device {asked}: there is one cpu. Try --device cpu.")
        return torch.device("cpu"), "as asked"
    if device.type == "cuda" and (device.index or 0) >= count:
        seen = f"PyTorch {torch.__version__} sees {count} GPUs here" if count else _why_no_gpu()
        raise ConfigError(f"--device {asked}: {seen}. Try --device cpu, or rooflight info.")
    return device, "as asked"


def pick_dtype(asked: str, device: torch.device, cpu_isa: tuple[str, ...]) -> tuple[torch.dtype, str]:
    """The dtype of the matrix products (autocast), and why. `cpu_isa` is Machine.cpu.isa."""
    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[asked], "as asked"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16, f"{name} has bfloat16 Tensor Cores or matrix cores"
        if torch.cuda.get_device_capability(device) >= (7, 0):
            return torch.float16, f"{name} has float16 Tensor Cores but no bfloat16"
        return torch.float32, f"{name} has no Tensor Cores"
    if extension := next((name for name in CPU_BFLOAT16 if name in cpu_isa), None):
        return torch.bfloat16, f"this CPU multiplies bfloat16 in hardware ({extension})"
    return torch.float32, "this CPU would emulate bfloat16"


def dtype_name(dtype: torch.dtype) -> DtypeName:
    """torch.bfloat16 → "bfloat16"."""
    return cast(DtypeName, str(dtype).removeprefix("torch."))


def _why_no_gpu() -> str:
    built_for = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    return f"PyTorch {torch.__version__}, built for {built_for}, sees no GPU here"
