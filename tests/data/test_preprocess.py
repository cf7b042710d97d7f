"""The preprocessing that travels with the weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.runs import Preprocessing
from rooflight.data.batches import normalise
from rooflight.data.images import load_images, measure_preprocessing
from rooflight.data.pipeline import CenterCrop, Normalize, Pipeline, RandomHorizontalFlip, Resize
from rooflight.data.preprocess import evaluation_pipeline, preprocess, with_pipeline
from rooflight.flows.predict import read_image

PLAIN = Preprocessing(channels=3, height=8, width=6, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))


def test_pixels_that_prediction_makes_are_those_that_evaluation_made(class_folders: Path) -> None:
    images = load_images(str(class_folders), channels=3, height=28, width=28)
    preprocessing = measure_preprocessing(images.train_images)
    evaluated = preprocess(images.test_images, preprocessing)
    saved = from_json(Preprocessing, to_json(preprocessing))
    predicted = torch.cat([read_image(file, saved) for file in sorted(class_folders.rglob("*.*"))])
    for row in evaluated:
        assert bool((predicted == row).flatten(1).all(1).any())


def test_it_is_the_training_batches_normalisation() -> None:
    images = torch.randint(0, 256, (5, 3, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(preprocess(images, PLAIN), normalise(images, PLAIN), atol=1e-6)
    assert torch.equal(preprocess(images, PLAIN), preprocess(images, with_pipeline(PLAIN)))


def test_a_pipeline_of_ones_own_travels() -> None:
    own = with_pipeline(PLAIN, Pipeline([Resize(12), CenterCrop((8, 6)), Normalize(PLAIN.mean, PLAIN.std)]))
    images = torch.randint(0, 256, (2, 3, 30, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert preprocess(images, own).shape == (2, 3, 8, 6)
    assert evaluation_pipeline(from_json(Preprocessing, to_json(own))) == evaluation_pipeline(own)
    assert not torch.allclose(preprocess(images, own), preprocess(images, PLAIN), atol=0.1)


def test_what_does_not_fit_is_said() -> None:
    known = with_pipeline(PLAIN)
    assert known.pipeline is not None
    with pytest.raises(ConfigError, match="hash"):
        replace(known, pipeline=known.pipeline.replace("0.4", "0.41"))
    with pytest.raises(ConfigError, match="pipeline that is missing"):
        replace(known, pipeline=None)
    for changed in (replace(known, mean=(0.0, 0.5, 0.6)), replace(known, std=(0.2, 0.3, 1.0))):
        with pytest.raises(ConfigError, match="one of them was changed"):
            evaluation_pipeline(changed)
    with pytest.raises(ConfigError, match=r"the model takes \(3, 9, 6\)"):
        preprocess(torch.zeros(1, 3, 9, 9, dtype=torch.uint8), replace(known, height=9))
    with pytest.raises(ConfigError, match="draws at random"):
        evaluation_pipeline(with_pipeline(PLAIN, Pipeline([RandomHorizontalFlip(), Resize((8, 6))])))
    small = with_pipeline(PLAIN, Pipeline([Resize((4, 4)), Normalize(PLAIN.mean, PLAIN.std)]))
    with pytest.raises(ConfigError, match=r"gives \(3, 4, 4\), the model takes \(3, 8, 6\)"):
        preprocess(torch.zeros(1, 3, 9, 9, dtype=torch.uint8), small)
