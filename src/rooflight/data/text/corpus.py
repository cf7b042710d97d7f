"""Texts to learn from and to be tested on: the bundled King James Bible by book, or a file by its last part."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.sources import expand
from rooflight.data.text.king_james import king_james

HELD_OUT = ("Ruth", "Jonah", "Mark", "James")  # books of both testaments, stories and a letter: 3 % of the text
TEST_SHARE = 0.1  # of a file: its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Documents, which no window crosses, and where they are from."""

    name: str
    source: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    sha256: str  # of the text as UTF-8, train then test
    held_out: str  # what the test text is
    licence: str | None = None


def load_corpus(data: str) -> Corpus:
    """The text that --data names.

    data    "bundled": the King James Bible; else a text file in UTF-8
    raises  ConfigError if it is not there, DataError if it is no text or holds nothing
    """
    if data == "bundled":
        return _bible()
    path = expand(data)
    if path.is_dir():
        raise ConfigError(f"--data {data} is a folder: this model reads one text file. Try --data FILE.txt.")
    if not path.is_file():
        raise ConfigError(f"--data {data}: no such file. Try --data bundled, the King James Bible, or a text file.")
    return _file(path)


def _bible() -> Corpus:
    books: dict[str, list[str]] = {}
    for verse in king_james():
        books.setdefault(verse.book, []).append(verse.text)
    texts = {book: "\n".join(verses) for book, verses in books.items()}
    return _corpus(
        name="the King James Bible",
        source="bundled",
        train=tuple(text for book, text in texts.items() if book not in HELD_OUT),
        test=tuple(texts[book] for book in HELD_OUT),
        held_out=f"the books {', '.join(HELD_OUT)}",
        licence="public domain",
    )


def _file(path: Path) -> Corpus:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is no UTF-8 text: byte {error.start:,} cannot be read. Try converting it: iconv -f CP949 -t UTF-8."
        ) from None
    if not text.strip():
        raise DataError(f"{path} holds no text.")
    lines = text.splitlines(keepends=True)
    # Whole lines where there are enough of them; a file of one line is cut at a character.
    pieces = lines if len(lines) >= 1 / TEST_SHARE else list(text)
    cut = max(1, round(len(pieces) * (1 - TEST_SHARE)))
    return _corpus(
        name=path.name,
        source=str(path),
        train=("".join(pieces[:cut]),),
        test=("".join(pieces[cut:]),),
        held_out=f"the last {TEST_SHARE:.0%} of its lines",
        licence=None,
    )


def _corpus(
    *, name: str, source: str, train: tuple[str, ...], test: tuple[str, ...], held_out: str, licence: str | None
) -> Corpus:
    digest = hashlib.sha256("\x00".join((*train, *test)).encode()).hexdigest()
    return Corpus(name=name, source=source, train=train, test=test, sha256=digest, held_out=held_out, licence=licence)
