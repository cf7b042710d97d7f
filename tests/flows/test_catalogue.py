"""The catalogue as people see it."""

import json
import sys

import pytest

from rooflight.core.codec import to_json
from rooflight.core.errors import BackendError
from rooflight.core.tables import display_width, text
from rooflight.flows.catalogue import Resolved, is_sure, refresh_prices, show_catalogue, show_resolved

WIDTH = 106


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def test_the_table_has_a_line_for_each_and_fits_a_terminal() -> None:
    report = show_catalogue()
    (table,) = report.tables
    shown = text(report).splitlines()
    lines = shown[: 3 + len(table.rows)]
    assert max(map(display_width, lines)) <= WIDTH
    (h100,) = (line.split() for line in lines if line.startswith("H100 SXM5 80GB"))
    assert h100[3:] == ["9.0", "80", "3.35", "66.9", "989", "1979", "700", "2022", "30000", "2.69", "yes"]
    assert "as of 2026-06-17 to 2026-11-09" in " ".join(" ".join(shown[-9:]).split())  # the dates of the prices
    assert report.exit_code == 0


def test_json_is_the_dataclass() -> None:
    plain = json.loads(to_json(show_catalogue().answer))
    assert {"gpus", "offers"} == set(plain)
    assert plain["gpus"][0]["rates"]


def test_a_sheet_shows_every_rate_and_both_sides_of_a_conflict() -> None:
    report = show_resolved("NVIDIA GB10")
    assert report.exit_code == 0
    shown = text(report)
    assert "sources differ: bfloat16: 119 TFLOP/s" in shown
    assert "213 measured" in shown
    assert "matrix  bfloat16  float32   119 TFLOP/s  no" in shown
    assert "source: " in shown


def test_a_sheet_shows_support_links_and_offers() -> None:
    shown = text(show_resolved("Tesla V100-SXM2-16GB"))
    assert "cuda 12.9, torch 2.14, torch built for cuda 12.6" in shown
    assert "NVLink 2, 6 links" in shown
    assert "Lambda" in shown


@pytest.mark.parametrize("name", ["GeForce RTX 9090", "H1000", ""])
def test_an_unknown_name_is_a_clear_no(name: str) -> None:
    report = show_resolved(name)
    assert report.exit_code == 1
    assert isinstance(report.answer, Resolved)
    assert report.answer.gpu is None
    assert "rooflight info --catalogue" in report.notes[0]


def test_a_name_of_several_shows_them() -> None:
    report = show_resolved("NVIDIA GeForce RTX 4060 Ti")
    assert report.exit_code == 1
    assert isinstance(report.answer, Resolved)
    assert report.answer.candidates == ("GeForce RTX 4060 Ti 8GB", "GeForce RTX 4060 Ti 16GB")
    told = show_resolved("NVIDIA GeForce RTX 4060 Ti", memory_bytes=16380 * 2**20)
    assert told.exit_code == 0


def test_sure_means_no_conflict_and_no_derived_peak() -> None:
    from rooflight.catalogue.find import find

    assert is_sure(find("GeForce RTX 4090"))
    assert not is_sure(find("B200"))  # its bandwidth
    assert not is_sure(find("GeForce GTX 1080 Ti"))  # float16 is derived


@pytest.mark.parametrize(
    ("name", "both"),
    [
        ("NVIDIA GeForce GTX 1650", ("128 GB/s", "192 GB/s")),
        ("NVIDIA GeForce RTX 4070", ("504 GB/s", "480 GB/s")),
        ("NVIDIA GeForce RTX 3060 Ti", ("448 GB/s", "608 GB/s")),
    ],
)
def test_one_name_over_two_memories_is_not_sure(name: str, both: tuple[str, str]) -> None:
    report = show_resolved(name)
    assert isinstance(report.answer, Resolved)
    assert report.answer.gpu is not None
    assert not is_sure(report.answer.gpu)
    assert all(f"{bandwidth} with GDDR" in text(report) for bandwidth in both)


@pytest.mark.parametrize("name", ["H100 SXM5 80GB", "h100", "H100", "rtx 4090"])
def test_an_entrys_own_name_shows_it_and_says_that_no_driver_does(name: str) -> None:
    report = show_resolved(name)
    assert report.exit_code == 0
    assert isinstance(report.answer, Resolved)
    assert report.answer.gpu is not None
    assert report.notes[0] == f"No driver says {name!r}: this is the catalogue's entry of that name."
    assert show_resolved("NVIDIA H100 80GB HBM3").notes[0] != report.notes[0]


def test_peoples_name_of_several_lists_them_until_memory_tells() -> None:
    report = show_resolved("rtx 4060 ti")
    assert report.exit_code == 1
    assert isinstance(report.answer, Resolved)
    assert report.answer.candidates == ("GeForce RTX 4060 Ti 8GB", "GeForce RTX 4060 Ti 16GB")
    assert "GeForce RTX 4060 Ti 16GB" in text(report)
    assert show_resolved("rtx 4060 ti", memory_bytes=16 * 2**30).exit_code == 0


def test_an_entry_with_other_memory_is_not_it() -> None:
    report = show_resolved("H100 SXM5 80GB", memory_bytes=40 * 2**30)
    assert report.exit_code == 1


def test_prices_need_gpuhunt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(BackendError, match="gpuhunt"):
        refresh_prices()
