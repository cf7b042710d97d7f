"""The example in docs/models.md runs and prints what the page says."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_example_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    code, rest = PAGE.read_text().split("```python\n")[1].split("```", 1)
    exec(code, {"__name__": "page"})
    assert capsys.readouterr().out == rest.split("```text\n")[1].split("```")[0]
