"""Weights of a base from a file: read without running anything in it, matched by name, checked by shape."""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, DataError

# Below it, the reader of .pth files could be made to write where it should not, weights_only or not: CVE-2026-24747.
SAFE_TORCH = (2, 10)
NESTED = ("state_dict", "model_state_dict", "model", "net")  # where training scripts keep the weights
WRAPPERS = ("module.", "model.", "_orig_mod.", "backbone.", "base.", "encoder.", "bert.", "net.")
SHOWN = 3


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a state dict that torch.save wrote.

    raises  ConfigError if there is no such file, or this PyTorch reads .pth files unsafely; DataError if it is damaged
    """
    if not path.is_file():
        raise ConfigError(f"--weights {path}: no such file. Try a .safetensors or .pth file, or --weights random.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if _version(torch.__version__) < SAFE_TORCH:
        raise ConfigError(
            f"--weights {path}: PyTorch {torch.__version__} has a hole in its reader of such files (CVE-2026-24747). "
            "Try PyTorch 2.10 or later, or a .safetensors file."
        )
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever damaged bytes lead it to
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise DataError(f"--weights {path} holds no plain state dict: {reason}. Try a .safetensors file.") from None
    return _plain(found, path)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, source: str, in_order: bool = False) -> str:
    """`load_state`, or by order where names differ; returns a sentence that says how they were matched.

    in_order  the file may name them otherwise, in the same order: documented for that base, and then every shape must
              agree
    """
    if in_order and not set(state) & set(model.state_dict()):
        return _load_in_order(model, state, source)
    return load_state(model, state, source=source)


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> str:
    """Put the base's share of a state dict into it; the classifier's is left out.

    A prefix that all names share ("module.", "bert."), or one that they lack ("features."), is seen through.

    raises   DataError that says which weights are missing or have another shape
    returns  a sentence for what was left out
    """
    own = model.state_dict()
    matched = max(_ways(state, own), key=lambda names: len(names.keys() & own.keys()))
    missing = [name for name in own if name not in matched and not name.endswith("num_batches_tracked")]
    if missing:
        raise DataError(
            f"the weights of {source} do not fit: {len(missing)} of the base's {len(own)} tensors are missing "
            f"({_some(missing)}); the file has {_some(list(state))}. Try the weights of this very architecture."
        )
    wrong = [name for name in own if name in matched and matched[name].shape != own[name].shape]
    if wrong:
        first = wrong[0]
        raise DataError(
            f"the weights of {source} do not fit: {first} is {tuple(matched[first].shape)}, the base has "
            f"{tuple(own[first].shape)}. Try the weights of this very architecture."
        )
    model.load_state_dict({name: matched.get(name, own[name]) for name in own})
    left = [name for name in matched if name not in own]
    return f"{len(own)} tensors by name" + (f", {len(left)} of its classifier left out" if left else "")


def packaged(carried: tuple[str, str]) -> Path | None:
    """The file of an installed package that carries weights and is not imported; None where it is not installed."""
    package, file = carried
    try:
        path = Path(str(metadata.distribution(package).locate_file(file)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def weights_sha256(model: nn.Module) -> str:
    """Of names, shapes and values."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def refuse_download(what: str, error: BaseException) -> ConfigError:
    """The sentence for weights that are not here and cannot be fetched."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ConfigError(
        f"{what} are not on this machine and could not be fetched ({reason}). Try --weights FILE with a .safetensors "
        "or .pth file of them, or --weights random to train on a base that knows nothing."
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    import safetensors
    import safetensors.torch

    try:
        found: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"--weights {path} is damaged, or no safetensors file: {error}.") from None
    return found


def _plain(found: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what a training script saved."""
    for key in NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = {str(k): v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise DataError(f"--weights {path} holds {type(found).__name__}, no state dict. Try a .safetensors file.")
    return tensors


def _ways(state: Mapping[str, Tensor], own: Iterable[str]) -> list[dict[str, Tensor]]:
    """The state under the names it may be meant by: as it is, without its wrappers, within the base's containers."""
    ways = [dict(state)]
    inner = dict(state)
    while prefix := next((wrapper for wrapper in WRAPPERS if any(name.startswith(wrapper) for name in inner)), None):
        inner = {name.removeprefix(prefix): value for name, value in inner.items()}
        ways.append(inner)
    containers = {name.partition(".")[0] + "." for name in own}
    ways += [
        {container + name: value for name, value in way.items()} for way in tuple(ways) for container in containers
    ]
    return ways


def _load_in_order(model: nn.Module, state: Mapping[str, Tensor], source: str) -> str:
    own, values = model.state_dict(), list(state.values())
    fits = len(values) >= len(own) and all(
        mine.shape == theirs.shape for mine, theirs in zip(own.values(), values, strict=False)
    )
    if not fits:
        raise DataError(
            f"the weights of {source} share no name with the base, and in their order their shapes differ from its "
            f"{len(own)} tensors. Try the weights of this very architecture."
        )
    model.load_state_dict(dict(zip(own, values, strict=False)))
    left = len(values) - len(own)
    return f"{len(own)} tensors by their order, all shapes equal, {left} of its classifier left out"


def _version(text: str) -> tuple[int, int]:
    major, minor, *_ = text.split(".")
    return int(major), int(minor)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
