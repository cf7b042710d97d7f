"""Prices through gpuhunt, which is optional: its offers, with the catalogue's names."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rooflight.catalogue.load import catalogue
from rooflight.core.errors import BackendError
from rooflight.core.types import GpuSpec, Offer

# gpuhunt does not tell the form factor. Where neither the instance's name does, what most clouds have.
USUAL_FORM = {"P100": "PCIe", "V100": "SXM2", "A100": "SXM4", "H100": "SXM5"}
SAME_MEMORY = 0.05  # it rounds memory, and gives B300's usable part for GB300 too


def hunt(as_of: str) -> tuple[Offer, ...]:
    """Every offer whose GPU is in the catalogue, dated as_of. Raises BackendError."""
    try:
        import gpuhunt
    except ImportError:
        raise BackendError(
            "prices come through gpuhunt, which is not installed. Try pip install 'rooflight[prices]' "
            "(from a checkout: '.[prices]')."
        ) from None
    source = f"gpuhunt {_version()}"
    try:
        with _quiet():
            items = gpuhunt.query(min_gpu_count=1)
    except (gpuhunt.GPUHuntError, OSError) as error:
        raise BackendError(f"gpuhunt found no prices: {error}. Is this machine online?") from None
    offers = tuple(offer for item in items if (offer := _offer(item, as_of, source)) is not None)
    if not offers:
        raise BackendError(f"gpuhunt gave {len(items)} offers, none of a GPU in the catalogue.")
    return offers


def match(name: str, memory_gb: float, instance: str) -> GpuSpec | None:
    """The entry of gpuhunt's name ("H100NVL", "RTX4060Ti", "A100") and memory; None if none or several can be meant."""
    found = [spec for spec in catalogue() if _is_called(spec, name.casefold()) and _has(spec, memory_gb)]
    if len(found) > 1:
        form = _form(instance) or USUAL_FORM.get(name.upper(), "")
        found = [spec for spec in found if (spec.form_factor or "").startswith(form)] if form else []
    return found[0] if len(found) == 1 else None


def _offer(item: Any, as_of: str, source: str) -> Offer | None:
    spec = match(item.gpu_name or "", item.gpu_memory or 0, item.instance_name)
    if spec is None or item.gpu_count < 1 or not 0 < item.price < math.inf:
        return None
    return Offer(
        gpu=spec.name,
        gpus=item.gpu_count * spec.devices_per_card,
        usd_per_hour=item.price,
        provider=item.provider,
        region=item.location,
        spot=item.spot,
        as_of=as_of,
        source=f"{source}, {item.instance_name}",
    )


def _is_called(spec: GpuSpec, name: str) -> bool:
    left_out = {"geforce", "quadro", "tesla", "instinct", "radeon", "blackwell", "pcie"}
    words = [word for word in spec.name.casefold().split() if word not in left_out]
    words = [word for word in words if not word.startswith("sxm") and not word.endswith("gb")]
    return name in ("".join(words), "".join(words).removeprefix("rtx"))


def _has(spec: GpuSpec, memory_gb: float) -> bool:
    card = spec.memory_bytes * spec.devices_per_card / 2**30
    return abs(memory_gb - card) <= SAME_MEMORY * card


def _form(instance: str) -> str:
    """Azure's NC machines hold PCIe cards, its ND machines SXM boards; others may say it in the instance's name."""
    name = instance.casefold()
    if "pcie" in name or name.startswith("standard_nc"):
        return "PCIe"
    return "SXM" if "sxm" in name or name.startswith("standard_nd") else ""


def _version() -> str:
    from importlib.metadata import version

    return version("gpuhunt")


@contextmanager
def _quiet() -> Iterator[None]:
    """gpuhunt logs a stack trace for each provider that it cannot reach."""
    log = logging.getLogger("gpuhunt")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
