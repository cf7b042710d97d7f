"""Evaluation's preprocessing: one pipeline, saved with the weights, that evaluation, prediction and export share."""

from dataclasses import replace

from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.core.runs import Preprocessing
from rooflight.data.pipeline.operations import Normalize, Resize
from rooflight.data.pipeline.pipeline import Images, Pipeline


def with_pipeline(preprocessing: Preprocessing, pipeline: Pipeline | None = None) -> Preprocessing:
    """The same with its pipeline written out and hashed; by default Resize to its size, then Normalize."""
    pipeline = pipeline or plain_pipeline(preprocessing)
    return replace(preprocessing, pipeline=pipeline.to_json(), pipeline_sha256=pipeline.sha256)


def plain_pipeline(preprocessing: Preprocessing) -> Pipeline:
    """What a preprocessing without a pipeline means."""
    size = (preprocessing.height, preprocessing.width)
    return Pipeline([Resize(size), Normalize(preprocessing.mean, preprocessing.std)])


def evaluation_pipeline(preprocessing: Preprocessing) -> Pipeline:
    """The pipeline that the weights expect.

    raises  ConfigError if it cannot be read, draws anything, or normalises by other numbers than stand beside it
    """
    if preprocessing.pipeline is None:
        return plain_pipeline(preprocessing)
    pipeline = Pipeline.from_json(preprocessing.pipeline)
    if pipeline.draws:
        raise ConfigError(f"the preprocessing's pipeline draws at random ({pipeline.draws}); evaluation must not.")
    stated = (preprocessing.mean, preprocessing.std)
    for op in pipeline.operations:
        if isinstance(op, Normalize):
            each = preprocessing.channels // len(op.mean)
            used = (op.mean * each, op.std * each)
            if used != stated:
                raise ConfigError(
                    f"the preprocessing says mean and std {stated}, its pipeline normalises by {used}: one of them was "
                    "changed. Try another run."
                )
    return pipeline


def preprocess(images: Images, preprocessing: Preprocessing) -> Tensor:
    """The model's input.

    images   uint8 (N, C, H, W) of any size, or N of (C, H, W), with preprocessing.channels
    returns  float32 (N, C, height, width), on the images' device
    raises   ConfigError if the pipeline gives another shape than the preprocessing says
    """
    pipeline = evaluation_pipeline(preprocessing)
    result = pipeline.apply(images, pipeline.draw(range(len(images))))
    expected = (preprocessing.channels, preprocessing.height, preprocessing.width)
    if tuple(result.shape[1:]) != expected:
        raise ConfigError(f"the preprocessing's pipeline gives {tuple(result.shape[1:])}, the model takes {expected}.")
    return result
