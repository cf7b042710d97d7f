"""Text to learn from: the bundled King James Bible."""

import lzma
from dataclasses import dataclass

from rooflight.data.sources import bundled_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Verse:
    """One verse; the book is what train and test are split by."""

    book: str
    chapter: int
    verse: int
    text: str


def king_james() -> tuple[Verse, ...]:
    """All 31,103 verses, in order. The text is in the public domain."""
    lines = lzma.decompress(bundled_path("king-james.tsv.xz").read_bytes()).decode().splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple(
        Verse(book=book, chapter=int(chapter), verse=int(verse), text=text) for book, chapter, verse, text in rows
    )
