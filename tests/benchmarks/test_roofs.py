"""The independent check of the roofs: its peers compute what they should, and committed results are whole."""

import ctypes
import shutil
from pathlib import Path

import pytest
import torch
from benchmarks.roofs import Checks, compile_stream

from rooflight.core.codec import from_json

RESULTS = sorted((Path(__file__).parents[2] / "benchmarks/results").glob("roofs-*.json"))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_stream_is_compiled_and_right(tmp_path: Path) -> None:
    streams, compiler = compile_stream(tmp_path, [["-O1"], ["-O2"]])
    assert "-fopenmp" in compiler
    assert list(streams) == ["-O1", "-O2"]
    stream = streams["-O2"]
    a, b, c = torch.zeros(1001), torch.randn(1001), torch.randn(1001)
    pointers = [ctypes.c_void_p(each.data_ptr()) for each in (a, b, c)]
    stream.stream_triad(*pointers, ctypes.c_float(3.0), ctypes.c_long(1001))
    torch.testing.assert_close(a, b + 3.0 * c)
    stream.stream_copy(*pointers[:2], ctypes.c_long(1001))
    assert torch.equal(a, b)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_a_committed_result_is_whole(path: Path) -> None:
    """Whether the two agree is for the page to say, not for a test to demand: a loss is published too."""
    result = from_json(Checks, path.read_text())
    assert [row.name for row in result.rows] == [
        "best product, float32",
        "best product, float64",
        "memory, copy",
        "memory, triad",
    ]
    for row in result.rows:
        assert row.ratio_low <= row.ratio <= row.ratio_high
        assert row.ours.n == row.theirs.n >= 15
