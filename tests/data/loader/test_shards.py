"""WebDataset shards."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import DataError
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.shards import Shards, index_shard


def write_shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def grey(level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 9), level, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    """4 shards of 10 grey images; level and label are the number of the sample."""
    paths = []
    for shard in range(4):
        members: dict[str, bytes] = {}
        for number in range(shard * 10, shard * 10 + 10):
            members |= {
                f"{number:05}.png": grey(number),
                f"{number:05}.cls": str(number).encode(),
                f"{number:05}.json": b"{}",
            }
        paths.append(write_shard(tmp_path / f"train-{shard}.tar", members))
    return Shards(paths, channels=1)


def test_each_image_comes_with_its_label(shards: Shards) -> None:
    assert len(shards) == 40
    assert shards.shards == (10, 10, 10, 10)
    assert shards.name(12).endswith("train-1.tar:00012")
    images, labels = next(Loader(shards, batch=40, seed=0, workers=3).epoch(1))
    assert torch.equal(images[:, 0, 0, 0].long(), labels)
    assert sorted(labels.tolist()) == list(range(40))


def test_a_block_of_the_order_reads_few_shards(shards: Shards) -> None:
    labels = torch.cat([labels for _, labels in Loader(shards, batch=5, seed=0, buffer=10).epoch(1)])
    assert all(len(set((block // 10).tolist())) == 1 for block in labels.split(10))


def test_folders_in_a_shard_are_part_of_the_key(tmp_path: Path) -> None:
    members = {"a/1.png": grey(1), "a/1.cls": b"0", "b/1.seg.png": grey(3), "b/1.png": grey(2), "b/1.cls": b"1"}
    found = index_shard(write_shard(tmp_path / "a.tar", members))
    assert [(member.key, member.label) for member in found] == [("a/1", 0), ("b/1", 1)]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.png": grey(1)}, "'1' lacks its image or its .cls"),
        ({"1.cls": b"1", "2.png": grey(1), "2.cls": b"1"}, "'1' lacks"),
        ({"1.txt": b"x"}, "it has no image"),
        ({"1.png": grey(1), "1.cls": b"cat"}, "1.cls holds 'cat'; a label is a whole number"),
    ],
    ids=str,
)
def test_a_shard_that_is_none_is_said(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        index_shard(write_shard(tmp_path / "a.tar", members))


def test_a_shard_that_is_cut_off_is_said(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", {"1.cls": b"1", "1.png": grey(1) + bytes(3000)})
    path.write_bytes(path.read_bytes()[:2500])
    with pytest.raises(DataError, match=r"a\.tar is no whole \.tar file"):
        index_shard(path)
    path.write_bytes(b"no archive at all")
    with pytest.raises(DataError, match=r"a\.tar is no whole \.tar file"):
        index_shard(path)


def test_no_shard_is_said() -> None:
    with pytest.raises(DataError, match="no shard was given"):
        Shards([], channels=3)
