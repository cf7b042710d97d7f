"""From a text to its tokens and back: words with their punctuation, or characters."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

Level = Literal["word", "character"]
WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")  # of any script: \w is what Unicode calls a letter or a digit
NO_SPACE_BEFORE = set(".,;:!?%)]}»”…。、，！？：；）」』")
NO_SPACE_AFTER = set("([{«“（「『")
ENDS_SENTENCE = set(".!?…。！？")


def tokenise(text: str, level: Level) -> list[str]:
    """The tokens of a text, the same ones for canonically equal texts (NFC: a Hangul syllable is one character).

    word       lower-cased words, whole with their apostrophes; every other sign that is no space is a token
    character  every character as it is; line ends are \\n
    """
    text = unicodedata.normalize("NFC", text)
    if level == "character":
        return list(text.replace("\r\n", "\n"))
    return WORD.findall(text.lower())


def detokenise(tokens: Sequence[str], level: Level) -> str:
    """A text that reads well: no space before a comma, a capital after a full stop. `tokenise` undoes it."""
    if level == "character":
        return "".join(tokens)
    pieces: list[str] = []
    start, glued = True, True  # of a sentence; to what stands before
    for token in tokens:
        if not glued and token not in NO_SPACE_BEFORE:
            pieces.append(" ")
        pieces.append(token[:1].upper() + token[1:] if start else token)
        start = token in ENDS_SENTENCE or (start and not token[:1].isalnum())
        glued = token in NO_SPACE_AFTER
    return "".join(pieces)
