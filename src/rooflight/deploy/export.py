"""A trained model in, a checked file and its Artifact out."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import torch

from rooflight.core.codec import read_json, to_json, to_plain
from rooflight.core.errors import ConfigError, ShapeError
from rooflight.core.files import fill_file, sha256, write_file
from rooflight.core.runs import Artifact, Preprocessing
from rooflight.deploy.onnx_export import INPUT_NAME, write_onnx
from rooflight.deploy.onnx_runner import onnx_runner
from rooflight.deploy.parity import check_parity
from rooflight.deploy.program import export_program, frozen_copy, program_runner, write_program
from rooflight.deploy.quiet import first_line
from rooflight.deploy.runner import Runner, torch_runner

Format = Literal["onnx", "torch-export"]

ARTIFACT_FILE = "artifact.json"
MODEL_FILES: Mapping[Format, str] = {"onnx": "model.onnx", "torch-export": "model.pt2"}


def export(
    model: torch.nn.Module,
    *,
    format: Format,
    folder: Path,
    classes: tuple[str, ...],
    preprocessing: Preprocessing | None,
    input_shape: tuple[int, ...] | None = None,
    input_dtype: torch.dtype = torch.float32,
    samples: torch.Tensor | None = None,
) -> Artifact:
    """Export, compare with PyTorch at batches 1, 3 and 64, and only then put the file in its place.

    The file takes normalised float32 images; what normalises them travels in artifact.json and inside the file.
    If outputs differ, the file is kept for a look as model.disagrees.* with artifact.disagrees.json, and an earlier
    model.* with its artifact.json stays as it was: whoever picks up model.* gets one that agrees, or none.

    classes        none of them: the model gives values, not scores
    preprocessing  None: the model takes no images, but samples of input_shape and input_dtype as they are
    samples        (N, …) real inputs, of images normalised, to compare on; None: seeded random ones
    returns  the Artifact with its path in `folder`; all(p.agrees for p in artifact.parity) says if it may be used
    raises   BackendError (cannot be exported, package missing), ShapeError, ConfigError, OSError; nothing is left then
    """
    shape = input_shape or _image_shape(preprocessing)
    reference = torch_runner(frozen_copy(model))
    _check_output(reference, torch.zeros((2, *shape), dtype=input_dtype), classes)
    _check_folder(folder, format)
    program = export_program(model, shape, input_dtype)
    properties = {"rooflight.classes": classes, "rooflight.preprocessing": to_plain(preprocessing)}
    with _folder(folder), _unchecked(folder / MODEL_FILES[format]) as path:
        write = write_onnx if format == "onnx" else write_program
        fill_file(path, lambda partial: write(program, partial, properties))
        exported = onnx_runner(path) if format == "onnx" else program_runner(path)
        artifact = Artifact(
            format=format,
            path=MODEL_FILES[format],
            bytes=path.stat().st_size,
            sha256=sha256(path),
            checked_with=exported.name,
            parity=check_parity(reference, exported, shape, input_dtype=input_dtype, samples=samples),
            input_name=INPUT_NAME,
            input_shape=(None, *shape),
            classes=classes,
            preprocessing=preprocessing,
        )
        return _keep(path, folder, artifact)


def read_artifact(folder: Path) -> Artifact:
    """The Artifact of a folder that `export` filled, with its path; the file is checked to be the one that was proved.

    raises  ConfigError without artifact.json, or if the file is missing or changed since
    """
    document = folder / ARTIFACT_FILE
    if not document.is_file():
        raise ConfigError(f"{folder} holds no {ARTIFACT_FILE}: it is not an exported model. Try rooflight export.")
    artifact = read_json(Artifact, document)
    path = folder / Path(artifact.path).name
    if not path.is_file():
        raise ConfigError(f"{document} names {path.name}, which is not there. Export the model again.")
    if sha256(path) != artifact.sha256:
        raise ConfigError(f"{path} has changed since it was exported: its SHA-256 differs. Export the model again.")
    return replace(artifact, path=str(path))


def artifact_runner(artifact: Artifact, *, device: str = "cpu") -> Runner:
    """The exported file as a Runner. device: cpu or cuda, for ONNX also auto, for torch-export also cuda:1."""
    path = Path(artifact.path)
    if artifact.format == "torch-export":
        return program_runner(path, device=device, sha256=artifact.sha256)
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"ONNX Runtime is asked for the device {device!r}; it takes auto, cpu or cuda.")
    return onnx_runner(path, device=cast(Literal["auto", "cpu", "cuda"], device))


def _image_shape(preprocessing: Preprocessing | None) -> tuple[int, ...]:
    if preprocessing is None:
        raise ConfigError("a model that takes no images is exported with its input_shape.")
    return preprocessing.channels, preprocessing.height, preprocessing.width


def _check_output(reference: Runner, batch: torch.Tensor, classes: tuple[str, ...]) -> None:
    try:
        scores = reference.run(batch)
    except RuntimeError as error:
        what = f"images of shape {tuple(batch.shape[1:])}"
        raise ShapeError(f"the model does not take {what}: {first_line(error)}.") from error
    if classes and scores.shape[1] != len(classes):
        raise ShapeError(f"the model returns {scores.shape[1]} scores, there are {len(classes)} class names.")


def _check_folder(folder: Path, format: Format) -> None:
    others = [name for other, name in MODEL_FILES.items() if other != format and (folder / name).exists()]
    if others:
        raise ConfigError(f"{folder} holds {others[0]}, and one {ARTIFACT_FILE} speaks of one file. Try another --out.")


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make the folder and its parents; if the body fails, remove those that this call made."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


@contextmanager
def _unchecked(path: Path) -> Iterator[Path]:
    """A name that claims nothing yet; what is still there at the end is removed."""
    unchecked = _renamed(path, "unchecked")
    try:
        yield unchecked
    finally:
        unchecked.unlink(missing_ok=True)


def _keep(unchecked: Path, folder: Path, artifact: Artifact) -> Artifact:
    """Give the file the name that it has earned. The Artifact is written first: a full disk then costs nothing."""
    final, document = folder / artifact.path, folder / ARTIFACT_FILE
    doubtful = (_renamed(final, "disagrees"), _renamed(document, "disagrees"))
    if all(parity.agrees for parity in artifact.parity):
        for path in doubtful:  # an earlier attempt's: this one has answered it
            path.unlink(missing_ok=True)
    else:
        final, document = doubtful
    # Stored with the file's name alone, so that the folder can be moved.
    write_file(document, to_json(replace(artifact, path=final.name)) + "\n")
    os.replace(unchecked, final)
    return replace(artifact, path=str(final))


def _renamed(path: Path, state: str) -> Path:
    """model.onnx → model.disagrees.onnx"""
    return path.with_name(f"{path.stem}.{state}{path.suffix}")
