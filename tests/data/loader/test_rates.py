"""Rates of the stages."""

import sys

import pytest

from rooflight.data.loader.loader import Loader
from rooflight.data.loader.rates import describe_rates, measure_rates
from rooflight.data.loader.sources import ImageFiles
from tests.data.loader.conftest import Corner


def test_each_stage_is_timed_and_said(files: ImageFiles) -> None:
    files.paths[3].write_bytes(b"")
    loader = Loader(files, batch=70, seed=0, workers=2, transform=Corner())
    rates = measure_rates(loader)
    assert [(rate.stage, rate.where) for rate in rates] == [
        ("read", "2 workers"),
        ("decode", "2 workers"),
        ("augment", "2 workers"),
    ]
    assert all(rate.samples_per_second > 0 for rate in rates)
    assert loader.bad == ()  # the loader itself records what is broken
    lines = describe_rates(rates)
    assert lines[0].startswith("loading, one worker alone: read ")
    assert lines[1].startswith("JPEG files by ")


def test_without_the_fast_decoder_its_extra_is_named(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = measure_rates(Loader(files, batch=4, seed=0))
    assert [rate.where for rate in rates] == ["main thread", "main thread"]
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert "pip install 'rooflight[jpeg]'" in describe_rates(rates)[1]
    assert len(measure_rates(Loader(files, batch=4, seed=0))) == 2  # Pillow decodes


def test_nothing_is_said_of_what_cannot_be_read(files: ImageFiles) -> None:
    for path in files.paths:
        path.write_bytes(b"")
    assert describe_rates(measure_rates(Loader(files, batch=4, seed=0))) == ()
