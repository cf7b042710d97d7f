"""Tables by display width."""

import unicodedata

import pytest

from rooflight.core.tables import Report, Table, display_width, markdown, table_text, text


@pytest.mark.parametrize(
    ("word", "width"),
    [("Coat", 4), ("외투", 4), ("", 0), ("é", 1), ("e\u0301", 1), (unicodedata.normalize("NFD", "한글"), 4), ("µs", 2)],
)
def test_display_width(word: str, width: int) -> None:
    assert display_width(word) == width


def test_columns_line_up_with_korean() -> None:
    table = Table(columns=("분류", "test accuracy"), rows=(("외투", "91.0 %"), ("T-shirt/top", "8.5 %")))
    lines = table_text(table).splitlines()
    assert lines == [
        "분류         test accuracy",
        "───────────  ─────────────",
        "외투                91.0 %",
        "T-shirt/top          8.5 %",
    ]
    assert len({display_width(line) for line in lines}) == 1


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells, the table has 1 columns"):
        table_text(Table(columns=("a",), rows=(("1", "2"),)))


def test_markdown_escapes_pipes() -> None:
    table = Table(title="T", columns=("a", "b"), rows=(("x|y", "1"),))
    assert markdown(table) == "**T**\n\n| a | b |\n|---|---|\n| x\\|y | 1 |"


def test_a_name_with_a_line_break_stays_on_its_line() -> None:
    table = Table(columns=("file",), rows=(("a\nb\x1b[31m 가방",),))
    assert "a\\nb\\x1b[31m 가방" in table_text(table).splitlines()[-1]


def test_notes_are_broken_between_words_and_continued_with_an_indent() -> None:
    report = Report(answer=None, notes=("one two three four", "외투 외투 외투", "short"))
    assert text(report, width=10) == "one two\n  three\n  four\n외투 외투\n  외투\nshort"


def test_a_path_is_longer_than_a_line_and_stays_whole() -> None:
    path = "/home/someone/.cache/rooflight/calibration/a-processor--torch-2.json"
    lines = text(Report(answer=None, notes=(f"written to {path}: plan uses it",)), width=30).splitlines()
    assert lines == ["written to", f"  {path}:", "  plan uses it"]


def test_what_a_note_has_laid_out_itself_stays() -> None:
    drawing = "⣀⣀⣀⣀ ⣀⣀⣀⣀ ⣀⣀⣀⣀\n  axis    0     1     2"
    assert text(Report(answer=None, notes=(drawing, "", "  in  columns")), width=8).startswith(f"{drawing}\n\n  in ")
    assert text(Report(answer=None, notes=("a  b   c",))) == "a  b   c"
