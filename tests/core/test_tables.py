"""Tables by display width."""

import unicodedata

import pytest

from rooflight.core.tables import Table, display_width, markdown, table_text


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
