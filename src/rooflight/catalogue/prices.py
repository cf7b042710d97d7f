"""Dated offers of clouds: the table that is shipped, or a newer one that `refresh` left in the user's cache."""

import csv
import io
import math
import os
import sys
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

from rooflight.catalogue.hunt import hunt
from rooflight.catalogue.load import catalogue
from rooflight.core.errors import BackendError, SpecError
from rooflight.core.files import write_file
from rooflight.core.types import Offer

N = TypeVar("N", int, float)

PRICES = Path(__file__).with_name("prices.csv")
COLUMNS = ("gpu", "gpus", "usd_per_hour", "provider", "region", "spot", "as_of", "source")


def offers(cache: Path | None = None) -> tuple[Offer, ...]:
    """What a cloud asks for an hour, each with its date; the cache's if it is newer than the table that is shipped.

    cache   as `refresh` wrote it; None: where it writes by itself
    """
    return offers_and_note(cache)[0]


def offers_and_note(cache: Path | None = None) -> tuple[tuple[Offer, ...], str | None]:
    """As `offers`, with a sentence about a cache that cannot be used: then the table that is shipped is."""
    shipped, refreshed = read_offers(PRICES), cache or cache_path()
    try:
        if refreshed is None or not refreshed.is_file():
            return shipped, None
        newer = read_offers(refreshed)
        if latest(newer) > (date.today() + timedelta(days=1)).isoformat():  # a day: clocks of the world differ
            raise SpecError(f"{refreshed}: its prices are of {latest(newer)}, which is to come.")
    except (SpecError, OSError) as error:
        return shipped, (
            f"The refreshed prices are not used but those of {latest(shipped)}: {str(error).rstrip('.')}. "
            "rooflight plan --refresh-prices writes that file anew."
        )
    return (newer, None) if latest(newer) > latest(shipped) else (shipped, None)


def refresh(cache: Path | None = None) -> tuple[Offer, ...]:
    """Today's offers through gpuhunt, written to the cache. Raises BackendError if it is missing or finds nothing."""
    path = cache or cache_path()
    if path is None:
        raise BackendError("there is no folder to keep prices in: no home folder is known. Set XDG_CACHE_HOME.")
    found = hunt(date.today().isoformat())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, _table(found))
    return found


def latest(found: Iterable[Offer]) -> str:
    """The newest date in it, ISO 8601; "" if it is empty."""
    return max((offer.as_of for offer in found), default="")


def cache_path() -> Path | None:
    """prices.csv in the folder that this system keeps caches in; XDG_CACHE_HOME wins. None: without it and a home."""
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "rooflight" / "prices.csv"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    default = {
        "darwin": home / "Library/Caches",
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData/Local"),
    }.get(sys.platform, home / ".cache")
    return default / "rooflight" / "prices.csv"


def read_offers(path: Path) -> tuple[Offer, ...]:
    """The offers of one file. Raises SpecError that names the line at fault."""
    known = {spec.name for spec in catalogue()}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise SpecError(f"{path} has the columns {_short(rows.fieldnames)}; it needs {', '.join(COLUMNS)}.")
            return tuple(_offer(row, known, f"{path}, line {rows.line_num}") for row in rows)
    except UnicodeDecodeError:
        raise SpecError(f"{path} is not a text in UTF-8.") from None
    except csv.Error as error:
        raise SpecError(f"{path} is no table: {error}.") from None


def _offer(row: dict[str, str], known: set[str], where: str) -> Offer:
    if None in row or None in row.values():
        raise SpecError(f"{where}: it needs {len(COLUMNS)} fields.")
    if row["gpu"] not in known:
        raise SpecError(f"{where}: the catalogue has no {_short(row['gpu'])}.")
    try:
        return Offer(
            gpu=row["gpu"],
            gpus=_positive(int, row["gpus"]),
            usd_per_hour=_positive(float, row["usd_per_hour"]),
            provider=row["provider"],
            region=row["region"] or None,
            spot=row["spot"] == "yes",
            as_of=date.fromisoformat(row["as_of"]).isoformat(),
            source=row["source"],
        )
    except ValueError as error:
        raise SpecError(f"{where}: {error}.") from None


def _positive(kind: type[N], word: str) -> N:
    """A number in plain digits. Raises ValueError for 0, negative ones, nan and inf."""
    number = kind(word) if word.isascii() else kind(0)
    if not 0 < number < math.inf:
        raise ValueError(f"{_short(word)} is no positive number")
    return number


def _short(found: object) -> str:
    """What was found, not longer than a line: a damaged file may hold anything."""
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _table(found: Iterable[Offer]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for offer in found:
        spot = "yes" if offer.spot else ""
        place = (offer.provider, offer.region or "", spot, offer.as_of, offer.source)
        writer.writerow((offer.gpu, offer.gpus, offer.usd_per_hour, *place))
    return text.getvalue()
