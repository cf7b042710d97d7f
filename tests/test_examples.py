"""Examples and the code blocks of the pages run."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# The pages of trace and estimate are run, and their output compared, in their rooms' tests.
PAGES = ("core", "data", "flows", "hardware")


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / f"docs/{page}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(page)
    assert code
    for block in code:
        exec(compile(block, f"docs/{page}.md", "exec"), {})


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train_and_use.py", "1", str(tmp_path / "run")])
    runpy.run_path(str(ROOT / "examples/train_and_use.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert "predicted against measured" in shown
    assert "it is:" in shown


def test_the_example_of_an_own_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples/own_model.py"), run_name="__main__")
    assert "on held-out points" in capsys.readouterr().out


def test_every_command_of_the_readme_exists(capsys: pytest.CaptureFixture[str]) -> None:
    from rooflight.cli.main import run

    commands = set(re.findall(r"(?:`|\$ |&& )rooflight ([a-z]+)", (ROOT / "README.md").read_text()))
    assert commands >= {"info", "plan", "train", "predict", "export", "report", "demo"}
    for command in sorted(commands):
        assert run([command, "--help"]) == 0, command


def test_the_tree_of_the_readme_is_the_tree() -> None:
    text = (ROOT / "README.md").read_text()
    rooms = {path.name for path in (ROOT / "src/rooflight").iterdir() if (path / "__init__.py").is_file()}
    named = set(re.findall(r"^  ([a-z]+)/ ", text, re.MULTILINE))
    assert named == rooms
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"README", "log"}
    assert pages >= rooms
    index = (ROOT / "docs/README.md").read_text()
    assert pages == set(re.findall(r"^\| \[(\w+)\]\(\1\.md\)", index, re.MULTILINE))
