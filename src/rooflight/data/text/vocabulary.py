"""The tokens that a model knows, and their numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

PAD, UNKNOWN = 0, 1  # token ids; neither is ever trained on
RESERVED = ("<pad>", "<unk>")


def build_vocabulary(documents: Iterable[Sequence[str]], size: int) -> tuple[str, ...]:
    """The most frequent tokens behind the two reserved ones, at most `size` in all; equal counts in order of the token.

    A token's place is its id.
    """
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(document)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return (*RESERVED, *ranked[: size - len(RESERVED)])


def encode(tokens: Sequence[str], vocabulary: Sequence[str]) -> NDArray[np.int32]:
    """Token ids; UNKNOWN for a token that the vocabulary lacks."""
    numbers = {token: number for number, token in enumerate(vocabulary)}
    return np.fromiter((numbers.get(token, UNKNOWN) for token in tokens), np.int32, count=len(tokens))
