"""In what dtype a model's products run: autocast, the loss scaler, TF32, float8."""

from dataclasses import dataclass

import torch
from torch import nn

from rooflight.core.errors import BackendError, ConfigError
from rooflight.core.training import DtypeName
from rooflight.train.device import dtype_name, pick_dtype
from rooflight.train.ranks import Autocast


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """What was chosen, and why."""

    name: DtypeName  # never "auto"
    dtype: torch.dtype  # of autocast; float32 switches it off
    reason: str


def pick_precision(asked: DtypeName, device: torch.device, cpu_isa: tuple[str, ...]) -> Precision:
    """What `asked` means on the device. `cpu_isa` is Machine.cpu.isa.

    raises  ConfigError for tfloat32 or float8 where the device has none
    """
    if asked not in ("tfloat32", "float8"):
        dtype, reason = pick_dtype(asked, device, cpu_isa)
        return Precision(name=dtype_name(dtype), dtype=dtype, reason=reason)
    if device.type != "cuda" or torch.version.hip:
        raise ConfigError(f"--dtype {asked} needs an NVIDIA GPU; this run is on {device}. Try --dtype auto.")
    needed, found = {"tfloat32": (8, 0), "float8": (8, 9)}[asked], torch.cuda.get_device_capability(device)
    if found < needed:
        raise ConfigError(
            f"--dtype {asked} needs compute capability {needed[0]}.{needed[1]}; "
            f"{torch.cuda.get_device_name(device)} has {found[0]}.{found[1]}. Try --dtype auto."
        )
    dtype = torch.float32 if asked == "tfloat32" else torch.bfloat16
    return Precision(name=asked, dtype=dtype, reason="as asked")


def set_precision(name: DtypeName) -> None:
    """What float32 products are allowed to be on NVIDIA GPUs: PyTorch lets convolutions use TF32, and products not."""
    # PyTorch's newer settings, one for each operator, make those of torch.export that ask for this one fail.
    allowed = name == "tfloat32"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def to_float8(model: nn.Module) -> nn.Module:
    """The model with its linear layers in float8, scaled dynamically. The weights stay as they are.

    raises  BackendError without torchao
    """
    try:
        from torchao.float8 import convert_to_float8_training
    except ImportError:
        raise BackendError(
            "--dtype float8 needs the package torchao. Try: pip install 'rooflight[float8]' (from a checkout: "
            "'.[float8]')."
        ) from None
    converted: nn.Module = convert_to_float8_training(model, module_filter_fn=_takes_float8)
    return converted


def _takes_float8(module: nn.Module, name: str) -> bool:
    """The Tensor Cores take multiples of 16; a layer of other sizes stays in bfloat16."""
    return not isinstance(module, nn.Linear) or not (module.in_features % 16 or module.out_features % 16)


def autocast_of(device: torch.device, dtype: torch.dtype) -> Autocast:
    """A context for each forward pass."""
    return lambda: torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def scaler_of(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """float16 has no room for small gradients: the loss is scaled up, and steps that overflow are left out."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
