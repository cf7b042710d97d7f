"""`info --catalogue` and `info --resolve`: what GPUs could do; `plan --refresh-prices`: what clouds ask for them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rooflight.core.console import Console, Silent
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuSpec, Offer, Rate
from rooflight.core.units import (
    show_bytes,
    show_bytes_per_second,
    show_flops_per_second,
    show_gibibytes,
    show_tera,
)

OFFERS_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What `info --catalogue --json` prints."""

    gpus: tuple[GpuSpec, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What `info --resolve NAME --json` prints."""

    name: str
    gpu: GpuSpec | None
    candidates: tuple[str, ...]  # entries that are called so, where it takes more to tell which
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What `plan --refresh-prices --json` prints."""

    path: str
    as_of: str
    offers: tuple[Offer, ...]


def show_catalogue() -> Report:
    """Every entry, a line each."""
    from rooflight.catalogue.load import catalogue
    from rooflight.catalogue.prices import latest, offers_and_note

    known, (asked, damaged) = catalogue(), offers_and_note()
    cheapest = _cheapest(asked)
    columns = ("GPU", "target", "GiB", "TB/s", "fp32", "16 bit", "fp8", "W", "year", "USD", "USD/h", "sure")
    rows = tuple(_row(spec, cheapest.get(spec.name)) for spec in known)
    notes = (
        "fp32, 16 bit, fp8: dense peaks in TFLOP/s by the best engine that sums in float32, as PyTorch does.",
        "USD: list price at launch, approximate. USD/h: the cheapest offer on demand for one GPU, as of "
        f"{min(offer.as_of for offer in asked)} to {latest(asked)}.",
        "sure: no where sources differ or a peak is derived; rooflight info --resolve DRIVER-NAME shows both sides.",
        *filter(None, (damaged,)),
    )
    table = Table(title=f"{len(known)} GPUs", columns=columns, rows=rows)
    return Report(answer=Catalogue(gpus=known, offers=asked), tables=(table,), notes=notes)


def show_resolved(name: str, memory_bytes: int | None = None) -> Report:
    """The entry of a driver's name as a sheet; exit code 1 if the name is unknown or can be several.

    A name that no driver says is looked up as people write it ("h100", "H100 SXM5 80GB"), and the sheet says so.
    """
    from rooflight.catalogue.find import called, nearest_names
    from rooflight.catalogue.resolve import candidates, may_report, resolve

    spec = resolve(name, memory_bytes=memory_bytes)
    if spec is not None:
        return _resolved(name, spec, ())
    reported = "" if memory_bytes is None else f" with {show_bytes(memory_bytes)}"
    if found := candidates(name):
        return _several(
            name,
            found,
            f"{name!r}{reported} does not tell which of these it is: memory, or the number of units, would.",
        )
    found = tuple(each for each in called(name) if memory_bytes is None or may_report(each, memory_bytes))
    if len(found) == 1:
        return _resolved(name, found[0], (f"No driver says {name!r}: this is the catalogue's entry of that name.",))
    if found:
        return _several(
            name, found, f"No driver says {name!r}, and{reported} it can be any of these: try one's own name."
        )
    answer = Resolved(name=name, gpu=None, candidates=(), offers=())
    note = f"No driver's name {name!r}{reported} is known. {nearest_names(name)}"
    return Report(answer=answer, notes=(note,), exit_code=1)


def _resolved(name: str, spec: GpuSpec, notes: tuple[str, ...]) -> Report:
    from rooflight.catalogue.prices import offers_and_note

    offers, damaged = offers_and_note()
    asked = tuple(offer for offer in offers if offer.gpu == spec.name)
    answer = Resolved(name=name, gpu=spec, candidates=(), offers=asked)
    return Report(answer=answer, tables=_sheet(spec, asked), notes=(*notes, *_notes(spec), *filter(None, (damaged,))))


def _several(name: str, found: tuple[GpuSpec, ...], note: str) -> Report:
    answer = Resolved(name=name, gpu=None, candidates=tuple(each.name for each in found), offers=())
    columns = ("can be", "memory", "units", "bandwidth")
    rows = tuple(
        (each.name, show_bytes(each.memory_bytes), str(each.units), show_bytes_per_second(each.bytes_per_second))
        for each in found
    )
    return Report(answer=answer, tables=(Table(columns=columns, rows=rows),), notes=(note,), exit_code=1)


def refresh_prices(console: Console | None = None) -> Report:
    """Today's offers into the user's cache. Raises BackendError if gpuhunt is missing or this machine is offline."""
    from rooflight.catalogue.prices import cache_path, latest, refresh

    (console or Silent()).say("asking the clouds through gpuhunt")
    found = refresh()
    answer = Refreshed(path=str(cache_path()), as_of=latest(found), offers=found)
    by_provider = Counter(offer.provider for offer in found)
    rows = tuple((provider, str(count)) for provider, count in sorted(by_provider.items()))
    note = f"{len(found)} offers of {answer.as_of} are in {answer.path} and are used from now on."
    return Report(answer=answer, tables=(Table(columns=("provider", "offers"), rows=rows),), notes=(note,))


def is_sure(spec: GpuSpec) -> bool:
    """Whether no source differs and the peaks that PyTorch can reach follow from published figures."""
    reached = spec.flops_per_second
    doubted = {rate.dtype for rate in spec.rates if not rate.sure and rate.flops_per_second == reached.get(rate.dtype)}
    return not spec.conflicts and not doubted


def _row(spec: GpuSpec, cheapest: Offer | None) -> tuple[str, ...]:
    rates = spec.flops_per_second
    half = max((rates[dtype] for dtype in ("bfloat16", "float16") if dtype in rates), default=None)
    return (
        spec.name,
        spec.target or "",
        show_gibibytes(spec.memory_bytes),
        show_tera(spec.bytes_per_second),
        show_tera(rates.get("float32")),
        show_tera(half),
        show_tera(rates.get("float8")),
        _watts(spec.tdp_watts),
        str(spec.launch_year or ""),
        f"{spec.launch_usd:.0f}" if spec.launch_usd else "",
        f"{cheapest.usd_per_hour / cheapest.gpus:.2f}" if cheapest else "",
        "yes" if is_sure(spec) else "no",
    )


def _cheapest(asked: Iterable[Offer]) -> dict[str, Offer]:
    found: dict[str, Offer] = {}
    for offer in asked:
        best = found.get(offer.gpu)
        if not offer.spot and (best is None or offer.usd_per_hour / offer.gpus < best.usd_per_hour / best.gpus):
            found[offer.gpu] = offer
    return found


def _sheet(spec: GpuSpec, asked: tuple[Offer, ...]) -> tuple[Table, ...]:
    rates = Table(
        columns=("engine", "operands", "sums", "dense peak", "sure"), rows=tuple(_rate(rate) for rate in spec.rates)
    )
    links = Table(
        columns=("link", "one direction", "devices"),
        rows=tuple(
            (link.name, show_bytes_per_second(link.bytes_per_second), str(link.devices or "")) for link in spec.links
        ),
    )
    by_price = sorted(asked, key=lambda offer: offer.usd_per_hour / offer.gpus)
    prices = Table(
        columns=("offer", "GPUs", "USD/h", "spot", "as of"),
        rows=tuple(
            (
                " ".join(filter(None, (offer.provider, offer.region))),
                str(offer.gpus),
                f"{offer.usd_per_hour:.2f}",
                "spot" if offer.spot else "",
                offer.as_of,
            )
            for offer in by_price[:OFFERS_SHOWN]
        ),
    )
    return tuple(table for table in (_facts(spec), rates, links, prices) if table.rows)


def _facts(spec: GpuSpec) -> Table:
    support = ", ".join(f"{name.replace('_', ' built for ')} {last}" for name, last in spec.last_support.items())
    clock = f"{spec.clock_hz / 1e6:.0f} MHz" if spec.clock_hz else ""
    rows = (
        ("architecture", f"{spec.architecture}, target {spec.target}"),
        ("units", f"{spec.units} at {clock}" if clock else str(spec.units or "")),
        ("matrix engine", spec.matrix_engine or ""),
        ("memory", show_bytes(spec.memory_bytes) + (", the CPU's" if spec.unified_memory else "")),
        ("bandwidth", show_bytes_per_second(spec.bytes_per_second)),
        ("L2", show_bytes(spec.l2_bytes) if spec.l2_bytes else ""),
        ("cache behind L2", show_bytes(spec.last_level_bytes) if spec.last_level_bytes else ""),
        ("power", f"{_watts(spec.tdp_watts)} W" if spec.tdp_watts else ""),
        ("power supply", f"{_watts(spec.psu_watts)} W recommended" if spec.psu_watts else ""),
        ("form", " ".join((spec.form_factor or "", *spec.cooling)).strip()),
        ("devices per card", str(spec.devices_per_card) if spec.devices_per_card > 1 else ""),
        ("at launch", " ".join(filter(None, (str(spec.launch_year or ""), _usd(spec.launch_usd))))),
        ("last support", support),
        ("drivers say", ", ".join(spec.driver_names)),
    )
    return Table(columns=(spec.name, ""), rows=tuple(row for row in rows if row[1]))


def _rate(rate: Rate) -> tuple[str, ...]:
    sure = "yes" if rate.sure else "no"
    return (rate.engine, rate.dtype, rate.accumulate, show_flops_per_second(rate.flops_per_second), sure)


def _notes(spec: GpuSpec) -> tuple[str, ...]:
    derived = dict.fromkeys(f"not sure: {rate.note}" for rate in spec.rates if not rate.sure)
    return (*(f"sources differ: {conflict}" for conflict in spec.conflicts), *derived, f"source: {spec.source}")


def _watts(watts: float | None) -> str:
    return f"{watts:g}" if watts else ""


def _usd(price: float | None) -> str:
    return f"{price:.0f} USD" if price else ""
