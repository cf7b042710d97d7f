"""Words, characters and the way back, in English and Korean."""

import unicodedata

import pytest

from rooflight.data.text.tokens import Level, detokenise, tokenise


def test_words_are_lower_cased_and_signs_are_tokens() -> None:
    assert tokenise("And God said, Let there be light:", "word") == (
        ["and", "god", "said", ",", "let", "there", "be", "light", ":"]
    )
    assert tokenise("the LORD's  house\n(don’t)!", "word") == ["the", "lord's", "house", "(", "don’t", ")", "!"]


def test_a_hangul_syllable_is_one_character_however_it_was_stored() -> None:
    """macOS writes file names and texts as single letters (NFD): 한 is then three of them."""
    apart = unicodedata.normalize("NFD", "한국어")
    assert len(apart) > 3
    assert tokenise(apart, "character") == ["한", "국", "어"]
    assert tokenise(unicodedata.normalize("NFD", "나는 학교에 간다."), "word") == ["나는", "학교에", "간다", "."]


def test_line_ends_are_one_character() -> None:
    assert tokenise("a\r\nb", "character") == ["a", "\n", "b"]


def test_a_text_reads_well_again() -> None:
    tokens = tokenise('He said, (softly) "go"! and they went.', "word")
    assert detokenise(tokenise("in the beginning, he was. and it was so.", "word"), "word") == (
        "In the beginning, he was. And it was so."
    )
    assert "(softly)" in detokenise(tokens, "word")
    assert detokenise(["나", "는", " ", "간", "다"], "character") == "나는 간다"


@pytest.mark.parametrize("level", ["word", "character"])
@pytest.mark.parametrize("text", ["In the beginning: God created.", "나는 학교에 간다. 너는?", "a (b) [c] 'd"])
def test_the_tokens_of_a_text_that_was_put_together_are_the_same(text: str, level: Level) -> None:
    tokens = tokenise(text, level)
    assert tokenise(detokenise(tokens, level), level) == tokens
