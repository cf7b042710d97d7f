"""Dated offers of clouds: the table that is shipped, or a newer one that `refresh` left in the user's cache."""

import csv
import io
import os
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from rooflight.catalogue.hunt import hunt
from rooflight.catalogue.load import catalogue
from rooflight.core.errors import SpecError, nearest
from rooflight.core.files import write_file
from rooflight.core.types import Offer

PRICES = Path(__file__).with_name("prices.csv")
COLUMNS = ("gpu", "gpus", "usd_per_hour", "provider", "region", "spot", "as_of", "source")


def offers(cache: Path | None = None) -> tuple[Offer, ...]:
    """What a cloud asks for an hour, each with its date; the cache's if it is newer than the table that is shipped.

    cache   as `refresh` wrote it; None: where it writes by itself
    raises  SpecError if a file is damaged
    """
    shipped, refreshed = read_offers(PRICES), cache or cache_path()
    if not refreshed.is_file():
        return shipped
    newer = read_offers(refreshed)
    return newer if latest(newer) > latest(shipped) else shipped


def refresh(cache: Path | None = None) -> tuple[Offer, ...]:
    """Today's offers through gpuhunt, written to the cache. Raises BackendError if it is missing or finds nothing."""
    found = hunt(date.today().isoformat())
    path = cache or cache_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _table(found))
    return found


def latest(found: Iterable[Offer]) -> str:
    """The newest date in it, ISO 8601; "" if it is empty."""
    return max((offer.as_of for offer in found), default="")


def cache_path() -> Path:
    """prices.csv in the folder that this system keeps caches in; XDG_CACHE_HOME wins everywhere."""
    home = Path.home()
    default = {
        "darwin": home / "Library/Caches",
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local"),
    }.get(sys.platform, home / ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or default) / "rooflight" / "prices.csv"


def read_offers(path: Path) -> tuple[Offer, ...]:
    """The offers of one file. Raises SpecError that names the line at fault."""
    known = {spec.name for spec in catalogue()}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise SpecError(f"{path} has the columns {rows.fieldnames}; it needs {', '.join(COLUMNS)}.")
        return tuple(_offer(row, known, f"{path}, line {rows.line_num}") for row in rows)


def _offer(row: dict[str, str], known: set[str], where: str) -> Offer:
    if row["gpu"] not in known:
        raise SpecError(f"{where}: the catalogue has no {row['gpu']!r}.{nearest(row['gpu'], known)}")
    try:
        return Offer(
            gpu=row["gpu"],
            gpus=int(row["gpus"]),
            usd_per_hour=float(row["usd_per_hour"]),
            provider=row["provider"],
            region=row["region"] or None,
            spot=row["spot"] == "yes",
            as_of=date.fromisoformat(row["as_of"]).isoformat(),
            source=row["source"],
        )
    except (TypeError, ValueError) as error:
        raise SpecError(f"{where}: {error}.") from None


def _table(found: Iterable[Offer]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for offer in found:
        spot = "yes" if offer.spot else ""
        place = (offer.provider, offer.region or "", spot, offer.as_of, offer.source)
        writer.writerow((offer.gpu, offer.gpus, offer.usd_per_hour, *place))
    return text.getvalue()
