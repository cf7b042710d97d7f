"""The page's section on speed."""

from dataclasses import replace

from rooflight.core.runs import TrainResult
from rooflight.report.page import run_page
from tests.report.conftest import MakeResult
from tests.report.reading import read


def with_speed(result: TrainResult, **changed: float | None) -> TrainResult:
    figures: dict[str, float | None] = {
        "step_seconds": 0.0123,
        "data_wait_share": 0.31,
        "mfu": 0.42,
        "memory_share": 1.25,
        "watts": 71.6,
    }
    epochs = tuple(replace(record, **(figures | changed)) for record in result.epochs)  # type: ignore[arg-type]
    return replace(result, epochs=epochs, step_seconds=0.0123, epoch_step_seconds=0.0178)


def test_a_run_without_such_figures_has_no_such_section(make_result: MakeResult) -> None:
    assert not read(run_page(make_result())).all("section", id="speed")


def test_every_epoch_has_its_shares(make_result: MakeResult) -> None:
    section = read(run_page(with_speed(make_result(epochs=3)))).all("section", id="speed")[0]
    rows = section.all("tbody")[0].all("tr")
    assert len(rows) == 3
    cells = [cell.words() for cell in rows[0].all("th") + rows[0].all("td")]
    assert cells == ["1", "5,312", "12.3 ms", "31.0 %", "42.0 %", "125.0 %", "72 W"]
    assert len(section.all("figure")) == 2


def test_both_step_times_say_what_is_in_them(make_result: MakeResult) -> None:
    told = read(run_page(with_speed(make_result()))).all("section", id="speed")[0].all("p")[0].words()
    assert "A step alone, forward, loss, backward and update, took 12.3 ms (median)" in told
    assert "17.8 ms of an epoch, with the making of batches" in told


def test_what_is_not_known_is_a_dash_and_no_curve(make_result: MakeResult) -> None:
    result = with_speed(make_result(), mfu=None, memory_share=None, watts=None)
    section = read(run_page(result)).all("section", id="speed")[0]
    cells = [cell.words() for cell in section.all("tbody")[0].all("tr")[0].all("td")]
    assert cells[-3:] == ["–", "–", "–"]
    assert [item.words() for item in section.all("li")] == ["samples/s", "waiting for data"]
