"""A plan as one page, with the data sheets of its GPUs."""

from collections.abc import Sequence
from pathlib import Path

from rooflight.core.codec import read_json
from rooflight.core.errors import ConfigError
from rooflight.core.files import write_file
from rooflight.core.plans import Plan


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
    found = read_json(Plan, document)
    if any(row.step_seconds <= 0 or row.samples_per_second <= 0 for row in found.estimates):
        raise ConfigError(f"{document} holds a step of no time. Try rooflight plan MODEL --json > {document}.")
    return write_plan_page(found, path)
