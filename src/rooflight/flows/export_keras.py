"""`rooflight export RUN --to keras`: a model that came from Keras goes back to it, with its trained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rooflight.core.errors import ConfigError
from rooflight.core.files import sha256
from rooflight.core.tables import Report
from rooflight.core.units import show_bytes

FILE = "model.keras"
TOLERANCE = 1e-5  # of outputs: products of the same numbers in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasFile:
    """What `export --to keras --json` prints."""

    run: str
    path: str
    bytes: int
    sha256: str
    largest_difference: float  # of Keras's outputs from Rooflight's, on random inputs
    agrees: bool


def export_keras(run: Path, *, out: Path | None = None) -> Report:
    """Write RUN/export/keras/model.keras, with the layers, the activations and the names that the model came with.

    raises  ConfigError for a run whose model is not from Keras
    """
    from rooflight.flows.train_own import kept_config
    from rooflight.models.of_keras import outputs_differ, save
    from rooflight.models.own import find_keras
    from rooflight.train.checkpoint.read import load_weights, read_checkpoint

    checkpoint, weights = read_checkpoint(run)
    if checkpoint.own is None or checkpoint.own.file is None:
        raise ConfigError(f"{run}: {checkpoint.model} is not from Keras. Try --to onnx.")
    folder = Path(checkpoint.own.folder) if checkpoint.own.folder else None
    images = checkpoint.preprocessing is not None
    model, network, write_back = find_keras(kept_config(checkpoint, run).model, images=images, beside=folder)
    inner = (
        {name.removeprefix("model."): value for name, value in weights.items()} if checkpoint.own.wrapped else weights
    )
    load_weights(network, inner, source=run)
    write_back()
    difference = outputs_differ(model, network.eval(), images)
    path = (out or run / "export/keras") / FILE
    save(model, path)
    answer = KerasFile(
        run=str(run),
        path=str(path),
        bytes=path.stat().st_size,
        sha256=sha256(path),
        largest_difference=difference,
        agrees=difference <= TOLERANCE,
    )
    told = "gives the same outputs" if answer.agrees else f"DIFFERS by {difference:.1e}: do not use it"
    return Report(
        answer=answer, notes=(f"{path}: {show_bytes(answer.bytes)}, {told}.",), exit_code=0 if answer.agrees else 1
    )
