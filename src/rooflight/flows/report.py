"""`rooflight report`: a run, or a plan, as one self-contained page."""

from dataclasses import dataclass
from pathlib import Path

from rooflight.core.errors import RooflightError
from rooflight.core.files import write_file
from rooflight.core.runs import Artifact
from rooflight.core.tables import Report
from rooflight.core.units import show_bytes
from rooflight.flows.checkpoint import read_result


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What `report --json` prints."""

    run: str
    path: str
    bytes: int


def report(run: Path, *, out: Path | None = None) -> Report:
    """A run: curves, confusion matrix, predicted against measured, exports, configuration and environment.

    Or a plan, from the file that `plan --json` printed.
    out  the file; default RUN/report.html, or PLAN.html beside PLAN.json
    """
    if run.suffix == ".json":
        from rooflight.flows.plan_page import page_of_saved

        return page_answer(run, page_of_saved(run, out or run.with_suffix(".html")))
    from rooflight.report.page import run_page

    result = read_result(run)
    path = out or run / "report.html"
    write_file(path, run_page(result, artifacts=_artifacts(run)))
    return page_answer(run, path)


def page_answer(run: Path, path: Path) -> Report:
    """What is said of a page that was written."""
    answer = Page(run=str(run), path=str(path), bytes=path.stat().st_size)
    return Report(answer=answer, notes=(f"{path}: {show_bytes(answer.bytes)}, one file, opens in any browser.",))


def _artifacts(run: Path) -> tuple[Artifact, ...]:
    """The exports of the run that still are what was proved."""
    documents = sorted((run / "export").glob("*/artifact.json"))
    if not documents:
        return ()
    from rooflight.deploy.export import read_artifact  # imports torch: only where there is something to read

    found = []
    for document in documents:
        try:
            found.append(read_artifact(document.parent))
        except RooflightError:
            continue  # changed or removed since: the page shows only what holds
    return tuple(found)
