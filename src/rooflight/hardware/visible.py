"""Which of the driver's GPUs a framework means: it counts what the environment lets it see, in an order of its own."""

from collections.abc import Mapping, Sequence

from rooflight.core.types import Gpu

# What hides and reorders GPUs, in the order in which it is applied.
VARIABLES = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
    "intel": (),
    "apple": (),
}
VENDORS = {"cuda": ("nvidia", "amd"), "xpu": ("intel",), "mps": ("apple",)}


def driver_gpu(gpus: Sequence[Gpu], kind: str, index: int, variables: Mapping[str, str]) -> tuple[Gpu | None, str]:
    """The GPU that a framework calls `cuda:1`; None, with the reason, where that cannot be told.

    kind       "cuda" (ROCm too), "xpu", "mps"
    variables  the environment: CUDA_VISIBLE_DEVICES and the like
    """
    vendor = next((name for name in VENDORS.get(kind, ()) if any(gpu.vendor == name for gpu in gpus)), None)
    if vendor is None:
        return None, f"no driver tells of a GPU for {kind}"
    visible = [gpu for gpu in gpus if gpu.vendor == vendor]
    if vendor == "nvidia" and not _same_order(visible, variables):
        return None, (
            "CUDA counts different GPUs by speed and the driver by PCI address: set CUDA_DEVICE_ORDER=PCI_BUS_ID to "
            f"tell which is {kind}:{index}"
        )
    for name in VARIABLES[vendor]:
        if name in variables and not (
            name == "CUDA_VISIBLE_DEVICES" and vendor == "amd" and "HIP_VISIBLE_DEVICES" in variables
        ):
            visible = visible_gpus(visible, variables[name])
    if index >= len(visible):
        return None, f"the driver has no GPU that is {kind}:{index}"
    return visible[index], ""


def _same_order(gpus: Sequence[Gpu], variables: Mapping[str, str]) -> bool:
    """CUDA counts by PCI address too when told so, or when all are alike, or named by UUID."""
    named = variables.get("CUDA_VISIBLE_DEVICES", "").startswith("GPU-")
    return named or variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) <= 1


def visible_gpus(gpus: Sequence[Gpu], value: str) -> list[Gpu]:
    """`2,0` or `GPU-8f6,GPU-36c` (the beginning of a UUID is enough), as CUDA and PyTorch read it.

    What comes after an unknown or an empty one is not seen; with one named twice, nothing is.
    """
    chosen: list[Gpu] = []
    for word in (word.strip() for word in value.split(",")):
        named = _named(gpus, word)
        if named is None:
            break
        if named in chosen:
            return []
        chosen.append(named)
    return chosen


def _named(gpus: Sequence[Gpu], word: str) -> Gpu | None:
    if word.isascii() and word.isdecimal():
        return gpus[int(word)] if len(word) < 10 and int(word) < len(gpus) else None
    begun = [gpu for gpu in gpus if _uuid(gpu).startswith(_plain(word))]
    return begun[0] if len(begun) == 1 else None


def _uuid(gpu: Gpu) -> str:
    return _plain(gpu.uuid or "none")


def _plain(uuid: str) -> str:
    """ROCm writes GPU-a1b2 for what the kernel calls 0xa1b2."""
    return uuid.lower().removeprefix("gpu-").removeprefix("0x")
