"""The generator: known answers of Random123, and independence of the batch."""

import numpy as np
import pytest

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline.draws import draw_words
from rooflight.data.pipeline.philox import philox, words

ALL = 0xFFFFFFFF
KNOWN = [  # counter, key, result: kat_vectors of Random123 1.14, "philox4x32 10"
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ALL,) * 4, (ALL, ALL), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], result: tuple[int, ...]) -> None:
    a, b, c, d = (np.array([part], np.uint64) for part in counter)
    assert philox((a, b, c, d), key)[0].tolist() == list(result)


def test_words_depend_on_seed_epoch_sample_and_operation_alone() -> None:
    many = words(np.arange(64), epoch=7, seed=3, operation=2, blocks=5)
    for row in (0, 1, 63):
        alone = words(np.array([row]), epoch=7, seed=3, operation=2, blocks=5)
        assert np.array_equal(many[row], alone[0])
    for changed in ({"epoch": 8}, {"seed": 4}, {"operation": 3}, {"seed": 3 + 2**32}):
        setting = {"epoch": 7, "seed": 3, "operation": 2, **changed}
        assert not np.array_equal(many, words(np.arange(64), blocks=5, **setting))
    assert len(np.unique(many)) == many.size


def test_words_are_even() -> None:
    share = words(np.arange(20_000), epoch=0, seed=0, operation=0, blocks=1).astype(float) / 2**32
    assert np.allclose(share.mean(0), 0.5, atol=0.01)  # standard deviation 0.002
    assert np.allclose(np.corrcoef(share.T), np.eye(4), atol=0.03)


@pytest.mark.parametrize(
    ("ids", "epoch", "seed", "word"), [([-1], 0, 0, "id"), ([0], 2**32, 0, "epoch"), ([0], 0, -1, "seed")]
)
def test_a_number_that_no_counter_holds_is_refused(ids: list[int], epoch: int, seed: int, word: str) -> None:
    with pytest.raises(ConfigError, match=f"the {word} .* is outside"):
        draw_words(ids, [1], epoch=epoch, seed=seed, pipeline="")
