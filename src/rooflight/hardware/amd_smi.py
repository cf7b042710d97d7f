"""amdsmi, AMD's management library: comes with ROCm, must fit it, and fails to import in many ways when it does not."""

import contextlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SmiGpu:
    """What amdsmi adds to the kernel's files."""

    name: str | None
    uuid: str | None


def import_amdsmi() -> tuple[Any, str]:
    """The module, initialised, or None with the reason. Its import raises KeyError, OSError, AttributeError, …"""
    try:
        import amdsmi

        amdsmi.amdsmi_init()
    except Exception as error:
        return None, f"amdsmi cannot be used: {type(error).__name__}: {' '.join(str(error).split())}."
    return amdsmi, ""


def ask_amdsmi() -> tuple[dict[str, SmiGpu], str]:
    """What amdsmi says of each GPU, by PCI address; empty with the reason if it cannot be used."""
    amdsmi, why = import_amdsmi()
    if amdsmi is None:
        return {}, why
    try:
        handles = amdsmi.amdsmi_get_processor_handles()
        return {address: _gpu(amdsmi, handle) for handle in handles if (address := smi_address(amdsmi, handle))}, ""
    except Exception as error:
        return {}, f"amdsmi lists no GPUs: {error}."
    finally:
        with contextlib.suppress(Exception):  # everything has been asked by now
            amdsmi.amdsmi_shut_down()


def smi_address(amdsmi: Any, handle: Any) -> str | None:
    """`0000:03:00.0`; None if it will not say."""
    try:
        return str(amdsmi.amdsmi_get_gpu_device_bdf(handle)).lower()
    except Exception:
        return None


def smi_joules(amdsmi: Any, handle: Any) -> float:
    """Energy since the driver loaded. The counter counts steps of `counter_resolution` microjoules.

    raises  whatever amdsmi does, and KeyError or TypeError on an answer in another form
    """
    answer = amdsmi.amdsmi_get_energy_count(handle)
    steps = answer["energy_accumulator"] if "energy_accumulator" in answer else answer["power"]  # its name before 6.2
    return float(steps) * float(answer["counter_resolution"]) / 1e6


def _gpu(amdsmi: Any, handle: Any) -> SmiGpu:
    return SmiGpu(
        name=_said(lambda: amdsmi.amdsmi_get_gpu_asic_info(handle)["market_name"]),
        uuid=_said(lambda: amdsmi.amdsmi_get_gpu_device_uuid(handle)),
    )


def _said(call: Any) -> str | None:
    """amdsmi writes "N/A" for what it does not know."""
    try:
        answer = str(call())
    except Exception:
        return None
    return answer if answer not in ("", "N/A") else None
