"""torch.export: the model as a graph, in a .pt2 file that PyTorch runs without the model's source."""

import copy
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from rooflight.core.errors import BackendError
from rooflight.core.files import sha256 as sha256_of
from rooflight.deploy.quiet import first_line, quiet
from rooflight.deploy.runner import ProgramRunner, Runner

# Two, not one: the tracer takes a 1 for a constant, and what it broadcasts then stays 1 for ever.
_EXAMPLE_BATCH = 2


def export_program(
    model: torch.nn.Module, input_shape: tuple[int, ...], input_dtype: torch.dtype = torch.float32
) -> torch.export.ExportedProgram:
    """The model's inference graph in float32 on the CPU, for any batch size from 1 up. The model is left as it was.

    input_shape  one sample, (C, H, W) of an image
    raises       BackendError if torch.export cannot follow the model, or its code fixes the batch size
    """
    # The example is stored in the file: zeros, never somebody's picture.
    example = torch.zeros((_EXAMPLE_BATCH, *input_shape), dtype=input_dtype)
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(frozen_copy(model), (example,), dynamic_shapes=shapes)
    except Exception as error:  # torch.export raises a dozen types, some of them private
        raise BackendError(_refusal(model, error)) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names the exporting machine's folders
    return program


def frozen_copy(model: torch.nn.Module) -> torch.nn.Module:
    """A copy of the model in evaluation mode, float32, on the CPU, without torch.compile's wrapper."""
    plain = getattr(model, "_orig_mod", model)
    return copy.deepcopy(plain).to("cpu", torch.float32).eval()


def write_program(program: torch.export.ExportedProgram, path: Path, properties: Mapping[str, object]) -> None:
    """Save as a .pt2 archive; the properties go in as JSON, one extra file each."""
    extra = {name: json.dumps(value, ensure_ascii=False) for name, value in properties.items()}
    # Into memory first: torch's archive writer, on a full disk, ends the whole process from a destructor (2.14).
    archive = io.BytesIO()
    with quiet():
        torch.export.save(program, archive, extra_files=extra)
    path.write_bytes(archive.getbuffer())


def program_runner(path: Path, *, device: str | torch.device = "cpu", sha256: str | None = None) -> Runner:
    """A .pt2 file as a Runner.

    A .pt2 file is code: load only one that you or somebody you trust exported. torch.export.save keeps plain weights
    as raw bytes, but torch.export.load (2.14) unpickles whatever a crafted archive marks as pickled, with
    weights_only=False, and parses shape expressions with sympy, which evaluates them. No flag turns that off.
    A checksum tells that the file is the one that was exported, not that its maker meant well.

    sha256   from the Artifact; checked before a byte of the file is interpreted
    raises   BackendError for a file that is missing, damaged, changed, or not a program
    """
    if sha256 is not None and path.is_file() and sha256_of(path) != sha256:
        raise BackendError(f"{path} is not the file that was exported: its SHA-256 differs. Export it again.")
    place = torch.device(device)
    try:
        # An open file, not a path: torch wants paths to end in .pt2, and a file being written does not yet.
        with quiet(), path.open("rb") as file:
            program = torch.export.load(file)
    except Exception as error:  # a damaged archive surfaces as anything from OSError to KeyError
        raise BackendError(f"{path} cannot be loaded as a torch.export program: {first_line(error)}.") from error
    if place.type != "cpu":
        program = move_to_device_pass(program, place)
    return ProgramRunner(program, place)


def _refusal(model: torch.nn.Module, error: Exception) -> str:
    name = type(model).__name__
    if "specialized it to be a constant" in str(error):
        return (
            f"{name} works for one batch size only: its code fixes the first dimension. "
            "Try x.flatten(1) or x.reshape(x.shape[0], -1) in place of a written batch size."
        )
    return f"torch.export cannot follow {name}: {first_line(error)}. Branches on tensor values are the usual cause."
