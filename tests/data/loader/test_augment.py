"""What happens to a sample depends on its number, the epoch and the seed, never on the batch it comes in."""

import numpy as np
import pytest
import torch

from rooflight.core.errors import ShapeError
from rooflight.core.runs import Preprocessing
from rooflight.data.engines.cpu import CpuEngine
from rooflight.data.engines.engine import Engine
from rooflight.data.engines.torch_engine import TorchEngine
from rooflight.data.loader.augment import Augment
from rooflight.data.loader.batch import collate
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.shift_mirror import ShiftMirror
from rooflight.data.loader.sources import ImageFiles
from rooflight.data.pipeline.operations import ColorJitter, CutMix, Normalize, RandomHorizontalFlip, RandomResizedCrop
from rooflight.data.pipeline.pipeline import Pipeline
from tests.data.loader.test_loader import same, samples

PIPELINE = Pipeline(
    [
        RandomResizedCrop(16),
        RandomHorizontalFlip(),
        ColorJitter(0.4, 0.4, 0.4, 0.1),
        Normalize([0.5, 0.5, 0.5], [0.2, 0.2, 0.2]),
    ]
)


@pytest.mark.parametrize("engine", [TorchEngine(), CpuEngine()], ids=lambda engine: engine.name)
@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (7, 4), (64, 0)])
def test_a_pipeline_draws_the_same_in_every_batch(files: ImageFiles, engine: Engine, batch: int, workers: int) -> None:
    if engine.name == "cpu":
        pytest.importorskip("numba")
    expected = samples(Loader(files, batch=10, seed=3, transform=Augment(PIPELINE, engine)).epoch(2))
    mine = Loader(files, batch=batch, seed=3, transform=Augment(PIPELINE, engine), workers=workers)
    assert same(samples(mine.epoch(2)), expected)


def test_images_of_one_size_and_of_several_come_out_alike(files: ImageFiles) -> None:
    """One by one, padded as for a GPU, or together: the same pixels, mixed or not."""
    mixing = Pipeline([RandomResizedCrop(16), Normalize([0.5] * 3, [0.2] * 3), CutMix(num_classes=70)])
    arrays = [files.decode(files.read(sample), sample) for sample in range(12)]
    padded, sizes = collate(arrays)
    for pipeline in (PIPELINE, mixing):
        transform = Augment(pipeline, TorchEngine())
        draws = transform.draw(np.arange(12), epoch=1, seed=5)
        one_by_one = transform.apply([torch.from_numpy(array).permute(2, 0, 1) for array in arrays], draws)
        assert torch.equal(transform.apply(padded, draws, sizes=sizes), one_by_one)


def test_padding_does_not_reach_the_result(files: ImageFiles) -> None:
    """Images of several sizes in one batch come out as each alone does."""
    ids = np.array([0, 1, 2, 3])
    images = [torch.from_numpy(files.decode(files.read(sample), sample)).permute(2, 0, 1) for sample in range(4)]
    assert len({image.shape for image in images}) > 1
    alone = [PIPELINE.apply(image[None], PIPELINE.draw([sample], 1, 5)) for sample, image in enumerate(images)]
    loader = Loader(files, batch=4, seed=5, transform=Augment(PIPELINE, TorchEngine()), shuffle=False)
    together, _ = next(loader.epoch(1))
    assert torch.equal(together, torch.cat(alone))
    assert torch.equal(PIPELINE.apply(images, PIPELINE.draw(ids, 1, 5)), together)


def test_shift_and_mirror_are_drawn_evenly_and_end() -> None:
    plain = Preprocessing(channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
    transform = ShiftMirror(preprocessing=plain, shift=1, flip=True, augmented_epochs=2)
    drawn = transform.draw(np.arange(9000), epoch=2, seed=0)
    for moves in (drawn.down, drawn.right):
        assert torch.bincount(moves + 1, minlength=3).sub(3000).abs().max() < 5 * (9000 * 2 / 9) ** 0.5
    assert drawn.mirrored.sum().sub(4500).abs() < 5 * 9000**0.5 / 2
    again = transform.draw(np.arange(100, 200), epoch=2, seed=0)
    assert torch.equal(again.down, drawn.down[100:200])
    last = transform.draw(np.arange(100), epoch=3, seed=0)
    assert not torch.stack([last.down, last.right, last.mirrored]).any()
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    plainly = transform.apply(image, transform.draw(np.array([0]), epoch=3, seed=0))
    assert torch.equal((plainly * 255).round(), image.float())


def test_shift_and_mirror_want_one_size() -> None:
    plain = Preprocessing(channels=1, height=4, width=4, mean=(0.0,), std=(1.0,))
    transform = ShiftMirror(preprocessing=plain, shift=1, flip=True, augmented_epochs=1)
    images = [torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 5, 4, dtype=torch.uint8)]
    with pytest.raises(ShapeError, match="of one size"):
        transform.apply(images, transform.draw(np.arange(2), epoch=1, seed=0))
