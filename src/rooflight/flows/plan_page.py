"""A plan as one page, with the data sheets of its GPUs."""

from collections.abc import Sequence
from pathlib import Path

from rooflight.core.codec import from_plain, read_json
from rooflight.core.errors import ConfigError
from rooflight.core.files import refuse_unwritable, write_file
from rooflight.core.plans import Plan

# What else `plan --json` prints, by a key that a plan does not have.
OTHERS = {"curves": "what --scaling found", "classes": "a comparison of two GPUs", "base": "a trace", "ops": "a trace"}


def refuse_page(path: Path) -> None:
    """Raise ConfigError, before anything is worked out, for a file that no browser would open as a page."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--page {path}: a page is HTML. Try --page {path.with_suffix('.html')}.")
    refuse_unwritable(path)


def write_plan_page(plan: Plan, path: Path, sentences: Sequence[str] = ()) -> Path:
    """
    sentences  what the plan says of itself in words, beside what the page shows anyway
    """
    from rooflight.catalogue.load import catalogue
    from rooflight.report.plan_page import plan_page

    specs = {spec.name: spec for spec in catalogue()} | ({plan.roof.name: plan.roof} if plan.roof else {})
    write_file(path, plan_page(plan, specs, sentences))
    return path


def page_of_saved(document: Path, path: Path) -> Path:
    """The page of what `plan --json` printed into a file. Raises ConfigError if it is no plan."""
    if not document.is_file():
        raise ConfigError(f"{document}: no such file. Try rooflight plan MODEL --json > {document}.")
    plain = read_json(object, document)
    other = next((what for key, what in OTHERS.items() if isinstance(plain, dict) and key in plain), None)
    if other is not None:
        raise ConfigError(
            f"{document} is {other}, and a page shows a plan. Try what rooflight plan MODEL --json prints."
        )
    found = from_plain(Plan, plain, what=str(document))
    if any(row.step_seconds <= 0 or row.samples_per_second <= 0 for row in found.estimates):
        raise ConfigError(f"{document} holds a step of no time. Try rooflight plan MODEL --json > {document}.")
    return write_plan_page(found, path)
