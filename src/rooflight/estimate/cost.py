"""Dollars: what an hour of a GPU costs, rented or bought, and what a million samples or a whole run cost with it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rooflight.core.types import Estimate, GpuSpec, Offer

YEARS = 3.0  # over which a bought card is written off, running all the time
HOURS_PER_YEAR = 365.25 * 24
USD_PER_KWH = 0.15  # about what US businesses pay; a flag sets another


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Dollars per GPU and hour, and what they are."""

    usd_per_hour: float
    source: str  # "Lambda, on demand, 2026-09-20"; "bought: …"
    rented: bool


def rented(spec: GpuSpec, offers: Iterable[Offer]) -> Price | None:
    """The cheapest offer on demand for one GPU of an instance; None if no cloud is known to offer it."""
    asked = [offer for offer in offers if offer.gpu == spec.name and not offer.spot]
    if not asked:
        return None
    best = min(asked, key=lambda offer: offer.usd_per_hour / offer.gpus)
    of_several = f", as one of {best.gpus}" if best.gpus > 1 else ""
    return Price(
        usd_per_hour=best.usd_per_hour / best.gpus,
        source=f"{best.provider}, on demand{of_several}, {best.as_of}",
        rented=True,
    )


def bought(spec: GpuSpec, watts: float | None, usd_per_kwh: float = USD_PER_KWH) -> Price | None:
    """The card's launch price over YEARS, and its electricity; None if either is not known.

    The host is not in it, nor are cooling, room and people.
    """
    if spec.launch_usd is None or watts is None:
        return None
    card = spec.launch_usd / spec.devices_per_card / (YEARS * HOURS_PER_YEAR)
    return Price(
        usd_per_hour=card + watts / 1000.0 * usd_per_kwh,
        source=(
            f"bought: launch price over {YEARS:g} years of use around the clock, and electricity at {usd_per_kwh:g} "
            "USD/kWh"
        ),
        rented=False,
    )


def usd_per_million(usd_per_hour: float, samples_per_second: float) -> float:
    """Dollars for a million samples."""
    return usd_per_hour / 3600.0 / samples_per_second * 1e6


def with_run(one: Estimate, samples: int) -> Estimate:
    """The estimate with time, energy and dollars of a run of so many samples.

    The steps alone are counted: not evaluation, checkpoints and restarts between them, nor the host's energy.
    """
    joules, usd = one.joules_per_sample, one.usd_per_million_samples
    return replace(
        one,
        run_seconds=samples / one.samples_per_second,
        run_kwh=None if joules is None else joules * samples / 3.6e6,
        run_usd=None if usd is None else usd * samples / 1e6,
    )
