"""The bundled text."""

from rooflight.data.text.king_james import king_james


def test_king_james_is_whole() -> None:
    verses = king_james()
    assert len(verses) == 31_103
    assert len({verse.book for verse in verses}) == 66
    assert verses[0].text == "In the beginning God created the heaven and the earth."
    assert (verses[-1].book, verses[-1].chapter) == ("Revelation", 22)
    assert all(verse.text for verse in verses)
