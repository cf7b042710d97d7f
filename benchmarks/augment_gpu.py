"""The GPU engine beside its peers, and beside the card's copy bandwidth. Needs a CUDA or ROCm GPU, and kornia for its row.

python -m benchmarks.augment_gpu --json
"""

import argparse
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from rooflight.core.codec import to_json
from rooflight.core.types import Environment
from rooflight.data import pipeline as pl
from rooflight.data.engines.engine import new_result
from rooflight.data.engines.gpu import GpuEngine
from rooflight.hardware.environment import environment

MEAN, STD, JITTER, SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (0.4, 0.4, 0.4, 0.1), 224
REPEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Images/s by variant, and what of the copy bandwidth the engine reached: patches read and results written."""

    environment: Environment
    batch: int
    images_per_second: Mapping[str, float]
    copy_bytes_per_second: float
    share_of_copy: float


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--json", action="store_true", help="the only form there is")
    batch = parser.parse_args().batch
    if not torch.cuda.is_available():
        sys.exit("there is no GPU that torch can use: nothing was measured.")
    device = torch.device("cuda", torch.cuda.current_device())
    images = torch.randint(0, 256, (batch, 3, 256, 256), dtype=torch.uint8, device=device)
    pipeline = pl.Pipeline(
        [
            pl.RandomResizedCrop(SIZE),
            pl.RandomHorizontalFlip(),
            pl.RandomRotation(15),
            pl.ColorJitter(*JITTER),
            pl.Normalize(MEAN, STD),
        ]
    )
    program = pipeline.compile(pipeline.draw(range(batch)), (256, 256))
    out, engine = new_result(program, images), GpuEngine()
    variants: dict[str, Callable[[], object]] = {"rooflight": lambda: engine.run(program, images, out)}
    variants |= _peers(images)
    seconds = {name: _seconds(run) for name, run in variants.items()}
    block = torch.empty(2**28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    copy = 2 * block.nbytes / _seconds(lambda: other.copy_(block))
    patches = 3 * float(program.passes[0].box[:, 2:].prod(1).sum())
    result = Result(
        environment=environment(torch.cuda.get_device_name(device), threads=torch.get_num_threads()),
        batch=batch,
        images_per_second={name: batch / taken for name, taken in seconds.items()},
        copy_bytes_per_second=copy,
        share_of_copy=(patches + out.nbytes) / seconds["rooflight"] / copy,
    )
    print(to_json(result))


def _peers(images: Tensor) -> dict[str, Callable[[], object]]:
    """torchvision image by image, and Kornia compiled where it is installed."""
    from torchvision.transforms import v2

    loop = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15),
            v2.ColorJitter(*JITTER),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    peers: dict[str, Callable[[], object]] = {
        "torchvision, image by image": lambda: torch.stack([loop(image) for image in images])
    }
    if importlib.util.find_spec("kornia") is not None:
        import kornia.augmentation as kornia

        layers = kornia.AugmentationSequential(
            kornia.RandomResizedCrop((SIZE, SIZE)),
            kornia.RandomHorizontalFlip(),
            kornia.RandomRotation(15.0),
            kornia.ColorJitter(*JITTER),
            kornia.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        )
        compiled = torch.compile(layers)
        peers["Kornia, compiled"] = lambda: compiled(images.float() / 255)
    return peers


def _seconds(run: Callable[[], object]) -> float:
    """Median of REPEATS calls, by the GPU's own clock, after three that warm up."""
    for _ in range(3):
        run()
    taken = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        taken.append(begin.elapsed_time(end) / 1e3)
    return median(taken)


if __name__ == "__main__":
    main()
