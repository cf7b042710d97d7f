"""The Bible by book, files by their end, and what cannot be read."""

from pathlib import Path

import pytest

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.text.corpus import HELD_OUT, load_corpus


def test_the_bibles_books_are_apart() -> None:
    found = load_corpus("bundled")
    assert len(found.train) == 66 - len(HELD_OUT)
    assert len(found.test) == len(HELD_OUT)
    assert found.train[0].startswith("In the beginning God created")
    assert found.test[0].startswith("Now it came to pass in the days when the judges ruled")  # Ruth
    assert not any("when the judges ruled" in text for text in found.train)


def test_a_files_last_lines_are_held_out(tmp_path: Path) -> None:
    file = tmp_path / "시.txt"
    file.write_bytes(b"\xef\xbb\xbf" + "".join(f"{number}번째 줄\n" for number in range(20)).encode())
    found = load_corpus(str(file))
    assert found.train[0].startswith("0번째 줄")  # without the byte order mark
    assert found.test == ("18번째 줄\n19번째 줄\n",)


def test_a_file_of_one_line_is_cut_at_a_character(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("abcdefghij")
    found = load_corpus(str(tmp_path / "one.txt"))
    assert (found.train, found.test) == (("abcdefghi",), ("j",))


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    korean = tmp_path / "euc.txt"
    korean.write_bytes("한국어".encode("cp949"))
    with pytest.raises(DataError, match=r"no UTF-8 text.*iconv -f CP949"):
        load_corpus(str(korean))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="holds no text"):
        load_corpus(str(tmp_path / "empty.txt"))
    with pytest.raises(ConfigError, match="no such file"):
        load_corpus(str(tmp_path / "none.txt"))
    with pytest.raises(ConfigError, match="is a folder"):
        load_corpus(str(tmp_path))
