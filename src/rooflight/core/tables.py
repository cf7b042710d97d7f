"""Tables and reports for a terminal and for Markdown, aligned by display width so that Korean lines up too."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100  # cells of a note's line where there is no terminal to ask
INDENT = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under named columns. A column whose cells are all numbers is aligned right."""

    title: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a command answers: the dataclass that `--json` prints, and the same thing for people."""

    answer: object
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    exit_code: int = 0  # 0: done; 1: a clear no (nothing fits, outputs differ)


def text(report: Report, *, width: int = WIDTH) -> str:
    """The report for a terminal: its tables, then its notes, these broken between words at so many cells."""
    parts = [table_text(table) for table in report.tables]
    parts += ["\n".join(wrapped(note, width) for note in report.notes)] if report.notes else []
    return "\n\n".join(parts)


def wrapped(note: str, width: int) -> str:
    """Each line of the note within so many cells, what follows indented; longer words, such as paths, stay whole.

    A note that has been laid out by itself, such as a drawing, already has lines: it stays as it is.
    """
    if "\n" in note:
        return note
    lead = " " * (len(note) - len(note.lstrip(" ")))
    first, *words = note.lstrip(" ").split(" ")  # single spaces, so that wider gaps are kept
    lines, line = [], lead + first
    for word in words:
        longer = f"{line} {word}"
        if word and display_width(longer) > width:
            lines.append(line)
            line = lead + INDENT + word
        else:
            line = longer
    return "\n".join([*lines, line])


def table_text(table: Table) -> str:
    """Aligned columns, two spaces apart, a rule under the head."""
    cells = tuple(tuple(printable(cell) for cell in row) for row in table.rows)
    table = Table(title=table.title, columns=table.columns, rows=cells)
    widths = _widths(table)
    right = [_numeric(column) for column in zip(*table.rows, strict=True)] if table.rows else [False] * len(widths)
    lines = [table.title] if table.title else []
    lines.append(_line(table.columns, widths, right))
    lines.append("  ".join("─" * width for width in widths))
    lines += [_line(row, widths, right) for row in table.rows]
    return "\n".join(lines)


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, title as a bold line."""
    head = [f"**{table.title}**", ""] if table.title else []
    lines = [_pipes(table.columns), "|" + "---|" * len(table.columns), *(_pipes(row) for row in table.rows)]
    return "\n".join(head + lines)


def printable(word: str) -> str:
    """Line breaks and control codes, as a file's name may hold, shown as their escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in word)


def display_width(word: str) -> int:
    """Terminal cells that the text takes: Hangul and other wide letters take two, combining marks none."""
    # Decomposed Hangul (NFD, as macOS names files) shows as composed syllables: count what is shown.
    composed = unicodedata.normalize("NFC", word)
    return sum(_cells(letter) for letter in composed)


def _cells(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def _widths(table: Table) -> list[int]:
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(f"row {row} has {len(row)} cells, the table has {len(table.columns)} columns")
    return [max(display_width(cell) for cell in column) for column in zip(table.columns, *table.rows, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for cell, width, is_right in zip(cells, widths, right, strict=True):
        space = " " * (width - display_width(cell))
        padded.append(space + cell if is_right else cell + space)
    return "  ".join(padded).rstrip()


def _numeric(column: Sequence[str]) -> bool:
    return all(cell[:1].isdigit() or cell[:1] in "+-−." for cell in column if cell) and any(column)


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
