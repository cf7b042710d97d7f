"""Offers: the table that is shipped, a newer one, and gpuhunt."""

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from rooflight.catalogue.hunt import match
from rooflight.catalogue.load import catalogue
from rooflight.catalogue.prices import (
    COLUMNS,
    PRICES,
    cache_path,
    latest,
    offers,
    offers_and_note,
    read_offers,
    refresh,
)
from rooflight.core.errors import BackendError, SpecError

SHIPPED = read_offers(PRICES)
HEAD = ",".join(COLUMNS)


@dataclass
class Item:
    """As gpuhunt 0.1.34 has it, the fields that are used."""

    provider: str = "runpod"
    instance_name: str = "x"
    location: str = "EU"
    price: float = 2.0
    gpu_count: int = 1
    gpu_name: str | None = "L40S"
    gpu_memory: float | None = 48.0
    spot: bool = False


def fake_gpuhunt(monkeypatch: pytest.MonkeyPatch, answer: list[Item] | Exception) -> None:
    class GPUHuntError(Exception):
        pass

    def query(*, min_gpu_count: int) -> list[Item]:
        assert min_gpu_count == 1
        if isinstance(answer, Exception):
            raise GPUHuntError(str(answer))
        return answer

    module = SimpleNamespace(query=query, GPUHuntError=GPUHuntError)
    monkeypatch.setitem(sys.modules, "gpuhunt", module)
    monkeypatch.setattr("rooflight.catalogue.hunt._version", lambda: "0.1.34")


def test_the_shipped_table_is_dated_and_sourced() -> None:
    assert len(SHIPPED) >= 60
    assert len({offer.provider for offer in SHIPPED}) >= 8
    known = {spec.name for spec in catalogue()}
    for offer in SHIPPED:
        assert offer.gpu in known
        assert 2025 <= date.fromisoformat(offer.as_of).year <= 2026
        assert offer.source
        assert 0.01 <= offer.usd_per_hour / offer.gpus <= 15


def test_the_common_cards_of_data_centres_have_a_price() -> None:
    priced = {offer.gpu for offer in SHIPPED if not offer.spot}
    assert priced >= {"T4", "L40S", "A100 SXM4 80GB", "H100 SXM5 80GB", "H200 SXM 141GB", "Instinct MI300X 192GB"}


def test_the_price_is_the_instances() -> None:
    (offer,) = (each for each in SHIPPED if each.provider == "AWS" and each.gpu == "H100 SXM5 80GB")
    assert (offer.gpus, offer.usd_per_hour) == (8, 55.04)


def test_without_a_cache_the_shipped_table_is_used(tmp_path: Path) -> None:
    assert offers(tmp_path / "none.csv") == SHIPPED


@pytest.mark.parametrize(("as_of", "used"), [(date.today().isoformat(), True), ("2020-01-02", False)])
def test_the_newer_table_is_used(tmp_path: Path, as_of: str, used: bool) -> None:
    cache = tmp_path / "prices.csv"
    cache.write_text(f"{HEAD}\nT4,1,0.2,Cloud,,,{as_of},here\n")
    assert (offers(cache) != SHIPPED) == used


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}\nT5,1,0.2,Cloud,,,2026-01-02,here\n", "the catalogue has no 'T5'"),
        (f"{HEAD}\nT4,1,much,Cloud,,,2026-01-02,here\n", "line 2"),
        (f"{HEAD}\nT4,1,0.2,Cloud,,,yesterday,here\n", "yesterday"),
        (f"{HEAD}\nT4,1\n", "line 2"),
        ("gpu,price\nT4,1\n", "it needs gpu, gpus"),
    ],
)
def test_a_damaged_table_is_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(SpecError, match=said):
        read_offers(path)


ROW = "T4,1,0.2,Cloud,,,2026-11-20,here"


@pytest.mark.parametrize(
    "content",
    [
        *(
            f"{HEAD}\n{ROW.replace('0.2', price)}\n".encode()
            for price in ("nan", "inf", "-inf", "0", "-2", "1e999", "٣")
        ),
        *(f"{HEAD}\n{ROW.replace(',1,', f',{gpus},')}\n".encode() for gpus in ("0", "-1", "1.5", "٣", "9" * 5000)),
        f"{HEAD}\n{ROW}\n".encode("utf-16"),
        f"{HEAD}\n{ROW.replace('Cloud', 'x' * 200_000)}\n".encode(),
        f"{HEAD}\n{ROW.replace('T4', 'x' * 100_000)}\n".encode(),
        f"{HEAD}\n{ROW.replace('2026', '2099')}\n".encode(),
        f"{HEAD}\n{ROW.removesuffix(',here')}".encode(),
        f"{HEAD}\n{ROW},more,and more\n".encode(),
        f"{HEAD}\n{ROW[:25]}".encode(),
        b"\x00" * 100,
        b"",
    ],
    ids=lambda content: repr(content[-30:]),
)
def test_a_damaged_cache_is_a_note_and_the_shipped_table_is_used(tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "prices.csv"
    cache.write_bytes(content)
    found, note = offers_and_note(cache)
    assert found == SHIPPED
    assert note is not None
    assert str(cache) in note
    assert len(note) < len(str(cache)) + 400


def test_refresh_writes_what_offers_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        Item(),
        Item(gpu_name="H100", gpu_memory=80, gpu_count=8, price=16.5, spot=True),
        Item(gpu_name="MI250X", gpu_memory=128, gpu_count=4),
        Item(gpu_name="TPU", gpu_memory=16),
        Item(gpu_name=None, gpu_memory=None),
        *(Item(price=price) for price in (0.0, -1.0, float("nan"), float("inf"))),
        Item(gpu_count=0),
    ]
    fake_gpuhunt(monkeypatch, items)
    cache = tmp_path / "deep" / "prices.csv"
    found = refresh(cache)
    assert offers(cache) == found
    assert [(offer.gpu, offer.gpus, offer.usd_per_hour, offer.spot) for offer in found] == [
        ("L40S", 1, 2.0, False),
        ("H100 SXM5 80GB", 8, 16.5, True),
        ("Instinct MI250X 64GB", 8, 2.0, False),  # two devices a card
    ]
    assert latest(found) == date.today().isoformat()
    assert found[0].source == "gpuhunt 0.1.34, x"


def test_an_absent_gpuhunt_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpuhunt", None)
    with pytest.raises(BackendError, match=r"rooflight\[prices\]"):
        refresh(tmp_path / "prices.csv")


@pytest.mark.parametrize(("answer", "said"), [(Exception("no catalogs"), "online"), ([], "0 offers")])
def test_no_answer_is_one_sentence_and_leaves_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: list[Item] | Exception, said: str
) -> None:
    fake_gpuhunt(monkeypatch, answer)
    cache = tmp_path / "prices.csv"
    cache.write_text("as it was")
    with pytest.raises(BackendError, match=said):
        refresh(cache)
    assert cache.read_text() == "as it was"


@pytest.mark.parametrize(
    ("name", "memory", "instance", "expected"),
    [
        ("A100", 40, "", "A100 SXM4 40GB"),
        ("A100", 80, "Standard_NC24ads_A100_v4", "A100 PCIe 80GB"),
        ("A100", 80, "NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("V100", 16, "p3.2xlarge", "V100 SXM2 16GB"),
        ("H100NVL", 94, "", "H100 NVL 94GB"),
        ("RTX4060Ti", 16, "", "GeForce RTX 4060 Ti 16GB"),
        ("RTX6000Ada", 48, "", "RTX 6000 Ada"),
        ("A6000", 48, "", "RTX A6000"),
        ("RTXPRO6000", 96, "", None),  # Workstation, Max-Q or Server
        ("MI325X", 288, "", None),  # it has 256
        ("A100", 24, "", None),
        ("", 0, "", None),
    ],
)
def test_gpuhunts_names(name: str, memory: float, instance: str, expected: str | None) -> None:
    found = match(name, memory, instance)
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [("linux", ".cache/rooflight"), ("darwin", "Library/Caches/rooflight"), ("win32", "AppData")],
)
def test_the_cache_is_where_the_system_keeps_them(monkeypatch: pytest.MonkeyPatch, system: str, expected: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(sys, "platform", system)
    path = cache_path()
    assert path is not None
    assert expected in path.as_posix()


def test_xdg_cache_home_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path() == tmp_path / "rooflight/prices.csv"


def test_without_a_home_the_shipped_table_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path() == tmp_path / "rooflight/prices.csv"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_path() is None
    assert offers() == SHIPPED
    with pytest.raises(BackendError, match="XDG_CACHE_HOME"):
        refresh()
