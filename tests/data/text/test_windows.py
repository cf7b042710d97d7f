"""The vocabulary, windows of a stream by hand, and an epoch that is begun in its middle."""

import numpy as np
import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.data.text.vocabulary import PAD, RESERVED, UNKNOWN, build_vocabulary, encode
from rooflight.data.text.windows import CHUNK, Stream, Windows, make_stream

CPU = torch.device("cpu")


def stream(count: int = 100, length: int = 4) -> Stream:
    return make_stream([np.arange(2, 2 + count, dtype=np.int32)], length)


def test_the_most_frequent_tokens_are_kept_and_ties_go_by_the_alphabet() -> None:
    documents = [["b", "a", "c", "c"], ["d", "c", "a", "b"]]
    assert build_vocabulary(documents, 5) == (*RESERVED, "c", "a", "b")  # a and b are there twice, d once
    assert build_vocabulary(documents, 99) == (*RESERVED, "c", "a", "b", "d")
    assert encode(["d", "c"], build_vocabulary(documents, 5)).tolist() == [UNKNOWN, 2]
    assert (PAD, UNKNOWN) == (0, 1)


def test_no_window_holds_an_unknown_token_or_two_documents() -> None:
    documents = [np.array([5, 6, 7, UNKNOWN, 8, 9, 10], np.int32), np.array([11, 12], np.int32)]
    found = make_stream([*documents, np.array([13, 14, 15, 16], np.int32)], 2)
    assert found.starts.tolist() == [0, 4, 9, 10]  # 5 6 7, 8 9 10, 13 14 15, 14 15 16
    pairs = [(x.tolist(), y.tolist()) for x, y in Windows(found, batch=1, seed=0, device=CPU, shuffle=False)]
    assert pairs == [([[5, 6]], [7]), ([[8, 9]], [10]), ([[13, 14]], [15]), ([[14, 15]], [16])]


def test_an_epoch_is_each_window_once_and_another_order_than_the_next() -> None:
    windows = Windows(stream(CHUNK * 2), batch=128, seed=3, device=CPU)
    targets = torch.cat([y for _, y in windows.epoch(1)])
    assert sorted(targets.tolist()) == windows.labels().tolist()
    assert targets.tolist() == windows.labels()[torch.from_numpy(windows.order(1))].tolist()
    assert windows.order(1).tolist() != windows.order(2).tolist()
    for x, y in windows.epoch(2):
        assert torch.equal(x[:, -1] + 1, y)
        assert x.is_contiguous()


def test_an_epoch_goes_on_in_its_middle_and_ranks_share_a_batch() -> None:
    whole = Windows(stream(50), batch=8, seed=1, device=CPU)
    assert len(whole) == 6
    batches = list(whole.epoch(4))
    rest = list(whole.epoch(4, start=24))
    assert [y.tolist() for _, y in rest] == [y.tolist() for _, y in batches[3:]]
    parts = [Windows(stream(50), batch=8, seed=1, device=CPU, rank=rank, world_size=2) for rank in (0, 1)]
    for (_, both), (_, first), (_, second) in zip(batches, *(part.epoch(4) for part in parts), strict=True):
        assert sorted(both.tolist()) == sorted([*first.tolist(), *second.tolist()])
    with pytest.raises(ConfigError, match="cannot be shared by 2 ranks"):
        Windows(stream(), batch=7, seed=0, device=CPU, world_size=2)
