"""From JPEG files on disk to augmented batches: Rooflight's loader, the bare decoder, and PyTorch's DataLoader.

    python -m benchmarks.loader --pictures FOLDER --out benchmarks/results/loader-DATE.json

FOLDER holds photographs of any kind that Pillow reads, such as the data folders of the scikit-image and scikit-learn
wheels; JPEG files of 500×375 are cut from them, always the same ones. All variants run in one process on so many
cores, warm, in turns that move on from round to round; a ratio is taken within a round.
"""

import argparse
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.types import Environment
from rooflight.data.decode import decode_pixels, is_image
from rooflight.data.engines.cpu import CpuEngine
from rooflight.data.jpeg import jpeg_decoder
from rooflight.data.loader.augment import Augment
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.rates import StageRate, measure_rates
from rooflight.data.loader.sources import ImageFiles
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.pipeline import Pipeline
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = [ops.RandomResizedCrop(224), ops.RandomHorizontalFlip()]
COLOUR = [ops.RandomRotation(15), ops.ColorJitter(0.4, 0.4, 0.4, 0.1)]
LAST = [ops.Normalize(MEAN, STD)]
PIPELINES = {"crop, flip": Pipeline([*CROP, *LAST]), "crop, flip, rotate, jitter": Pipeline([*CROP, *COLOUR, *LAST])}
BATCH = 64
WIDTH, HEIGHT, QUALITY = 500, 375, 90
SMALLEST = 240  # pixels a side: smaller pictures are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a variant did in one round."""

    variant: str
    round: int
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant. The share is of the rate of the decoder alone on all cores, in the same round."""

    variant: str
    images_per_second: float
    share_of_decoder: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderComparison:
    """The whole result, as it is stored."""

    environment: Environment
    command: str
    decoder: str
    cores: int
    images: int
    pictures: int  # that they were cut from
    file_bytes: int  # of all images
    stages: tuple[StageRate, ...]  # of the longer pipeline, one worker alone
    rows: tuple[Row, ...]
    turns: tuple[Turn, ...]


def summarise(turns: Sequence[Turn], decoder: str) -> tuple[Row, ...]:
    """A row for each variant, fastest first."""
    alone = {turn.round: turn.images_per_second for turn in turns if turn.variant == decoder}
    rows = []
    for variant in {turn.variant for turn in turns}:
        mine = [turn for turn in turns if turn.variant == variant]
        share = median(turn.images_per_second / alone[turn.round] for turn in mine)
        rate = median(turn.images_per_second for turn in mine)
        rows.append(Row(variant=variant, images_per_second=rate, share_of_decoder=share))
    return tuple(sorted(rows, key=lambda row: -row.images_per_second))


def cut_images(pictures: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """JPEG files cut from the pictures at seeded places, half of them mirrored."""
    chosen = random.Random(0)
    sources = [Image.open(path).convert("RGB") for path in pictures]
    paths = []
    for number in range(count):
        source = sources[number % len(sources)]
        width = int(min(source.width, source.height * WIDTH / HEIGHT) * chosen.uniform(0.6, 1))
        height = width * HEIGHT // WIDTH
        left, top = chosen.randint(0, source.width - width), chosen.randint(0, source.height - height)
        cut = source.crop((left, top, left + width, top + height)).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        if chosen.random() < 0.5:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        paths.append(folder / f"{number:05}.jpg")
        cut.save(paths[-1], quality=QUALITY)
    return paths


def is_photograph(path: Path) -> bool:
    """Colour, and large enough; grey and drawn pictures compress otherwise."""
    with Image.open(path) as file:
        return file.mode == "RGB" and min(file.size) >= SMALLEST


class Files(torch.utils.data.Dataset[Tensor]):
    """What PyTorch's own road does for each file: Pillow, then torchvision v2."""

    def __init__(self, paths: Sequence[Path], *, colour: bool) -> None:
        from torchvision.transforms import v2

        extra = [v2.RandomRotation(15), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)] if colour else []
        last = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
        self.paths = paths
        self.transform = v2.Compose(
            [v2.PILToTensor(), v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *extra, *last]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Tensor:
        with Image.open(self.paths[number]) as file:
            image: Tensor = self.transform(file.convert("RGB"))
        return image


def one_thread(worker: int) -> None:
    """For a worker process: the cores are shared by workers, not by a worker's threads."""
    torch.set_num_threads(1)


def variants(paths: Sequence[Path], cores: int) -> dict[str, Callable[[], object]]:
    """Each variant by name; a call goes through all images once."""

    def decode(path: Path) -> int:
        return decode_pixels(path.read_bytes(), 3, name=str(path)).nbytes

    def decode_all(threads: int) -> object:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(decode, paths))

    found: dict[str, Callable[[], object]] = {}
    for name in PIPELINES:
        peer = torch.utils.data.DataLoader(
            Files(paths, colour="jitter" in name),
            batch_size=BATCH,
            shuffle=True,
            num_workers=cores,
            persistent_workers=True,
            worker_init_fn=one_thread,
        )
        found[f"DataLoader, Pillow, torchvision v2: {name}"] = lambda peer=peer: go_through(peer)  # type: ignore[misc]
    found[decoder_alone(cores)] = lambda: decode_all(cores)
    if cores > 1:
        found[decoder_alone(1)] = lambda: decode_all(1)
    for name in PIPELINES:
        loader = rooflight_loader(paths, name, cores)
        found[f"Rooflight: {name}"] = lambda loader=loader: go_through(loader.epoch(1))  # type: ignore[misc]
    return found


def decoder_alone(cores: int) -> str:
    """The variant that all others are compared with."""
    return f"{jpeg_decoder()[0]} alone, {cores} thread{'s' if cores > 1 else ''}"


def rooflight_loader(paths: Sequence[Path], name: str, cores: int) -> Loader:
    """Rooflight's loader with one of the pipelines."""
    source = ImageFiles(paths, torch.zeros(len(paths), dtype=torch.int64), 3)
    return Loader(source, batch=BATCH, seed=0, workers=cores, transform=Augment(PIPELINES[name], CpuEngine()))


def go_through(batches: Iterable[Any]) -> int:
    """Take every batch."""
    return sum(1 for _ in batches)


def compare(paths: Sequence[Path], cores: int, rounds: int) -> list[Turn]:
    """All variants in turns, after one round that warms up."""
    calls = variants(paths, cores)
    names = list(calls)
    turns = []
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            begin = time.perf_counter()
            calls[name]()
            seconds = time.perf_counter() - begin
            if number:
                turns.append(Turn(variant=name, round=number, images_per_second=len(paths) / seconds))
    return turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of photographs")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # workers share the cores
    pictures = [path for path in sorted(asked.pictures.rglob("*")) if is_image(path) and is_photograph(path)]
    with tempfile.TemporaryDirectory() as folder:
        paths = cut_images(pictures, Path(folder), asked.images)
        turns = compare(paths, asked.cores, asked.rounds)
        stages = measure_rates(rooflight_loader(paths, list(PIPELINES)[-1], asked.cores))
        size = sum(path.stat().st_size for path in paths)
    result = LoaderComparison(
        environment=environment(detect().cpu.model, threads=1, settings=()),
        command=shlex.join([Path(sys.executable).name, "-m", "benchmarks.loader", *sys.argv[1:]]),
        decoder=decoder_alone(asked.cores),
        cores=asked.cores,
        images=len(paths),
        pictures=len(pictures),
        file_bytes=size,
        stages=stages,
        rows=summarise(turns, decoder_alone(asked.cores)),
        turns=tuple(turns),
    )
    if asked.out:
        write_file(asked.out, to_json(result) + "\n")
    print(to_json(result))


if __name__ == "__main__":
    main()
