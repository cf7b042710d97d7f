"""`rooflight export`: a trained model as one file for other runtimes, checked against PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError, RooflightError
from rooflight.core.runs import Artifact, Checkpoint
from rooflight.core.tables import Report, Table
from rooflight.core.units import show_bytes
from rooflight.flows.checkpoint import load_run, read_result

if TYPE_CHECKING:
    from torch import Tensor

Target = Literal["onnx", "torch-export", "keras"]
SAMPLES = 64  # as many as the largest batch that is checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What `export --json` prints."""

    run: str
    artifact: Artifact
    samples: str  # what the outputs were compared on


def export(run: Path, *, to: Target = "onnx", out: Path | None = None, console: Console | None = None) -> Report:
    """One file with a dynamic batch, its outputs compared with PyTorch's at batches 1, 3 and 64.

    to   keras: the .keras file of a model that came from Keras, with its trained weights
    out  the folder; default RUN/export/FORMAT
    """
    import torch

    from rooflight.deploy.export import export as write

    console = console or Silent()
    if to == "keras":
        from rooflight.flows.export_keras import export_keras

        return export_keras(run, out=out)
    model, checkpoint = load_run(run, torch.device("cpu"))
    if checkpoint.text is not None:
        raise ConfigError(
            f"{run} holds a {checkpoint.model}, which reads text, and export writes models of images so far. "
            f"Try rooflight predict {run} --prompt TEXT."
        )
    samples, described = test_samples(run, checkpoint, console)
    folder = out or run / "export" / to
    console.say(f"exporting {checkpoint.model} to {to}")
    own = checkpoint.own if checkpoint.preprocessing is None else None  # a model that takes arrays
    artifact = write(
        model,
        format=to,
        folder=folder,
        classes=checkpoint.classes,
        preprocessing=None if own else checkpoint.pixels,
        input_shape=own.input_shape if own else None,
        input_dtype=getattr(torch, own.input_dtype) if own else torch.float32,
        samples=samples,
    )
    agrees = all(row.agrees for row in artifact.parity)
    notes = (
        f"{artifact.path}: {show_bytes(artifact.bytes)}, any batch size, "
        + ("agrees with PyTorch" if agrees else "DIFFERS from PyTorch: do not use it")
        + f"; compared on {described}.",
    )
    answer = Exported(run=str(run), artifact=artifact, samples=described)
    return Report(answer=answer, tables=(_parity_table(artifact),), notes=notes, exit_code=0 if agrees else 1)


def test_samples(run: Path, checkpoint: Checkpoint, console: Console) -> tuple[Tensor | None, str]:
    """Real test images of the run's data, normalised; None, with the reason, where the data is no longer there."""
    from rooflight.data.preprocess import preprocess
    from rooflight.flows.train_images import find_data, first_test_images
    from rooflight.flows.train_own import first_test_arrays
    from rooflight.flows.train_transfer import is_transfer
    from rooflight.flows.transfer_data import first_test_inputs

    try:
        result = read_result(run)
        if checkpoint.preprocessing is None and checkpoint.own:
            arrays = first_test_arrays(result.config, checkpoint.own, SAMPLES)
            return arrays, f"{len(arrays)} test samples of {result.data.name}"
        shape = checkpoint.pixels
        if is_transfer(checkpoint.model):
            inputs = first_test_inputs(result.config, shape, SAMPLES, console)
            return inputs, f"{len(inputs)} test images of {result.data.name}"
        images, _ = find_data(result.config, (shape.channels, shape.height, shape.width), console)
        chosen = first_test_images(images, SAMPLES)
    except RooflightError:
        console.say(
            "the run's own test samples are not at hand (it was stopped, or its data has moved): random ones are used"
        )
        return None, "seeded random inputs"
    return preprocess(chosen, shape), f"{len(chosen)} test images of {result.data.name}"


def _parity_table(artifact: Artifact) -> Table:
    rows = tuple(
        (str(row.batch), f"{row.largest_difference:.1e}", f"{row.tolerance:.1e}", "yes" if row.agrees else "NO")
        for row in artifact.parity
    )
    title = f"{artifact.format} in {artifact.checked_with} against PyTorch"
    return Table(title=title, columns=("batch", "largest difference", "tolerance", "agrees"), rows=rows)
