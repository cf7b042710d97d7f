"""ONNX: the graph of torch.export in the format that every other runtime reads, one file with the weights inside."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rooflight.core.errors import BackendError
from rooflight.core.units import show_bytes
from rooflight.deploy.quiet import first_line, quiet

INPUT_NAME = "image"
OUTPUT_NAME = "scores"

# The dynamo exporter's operators are written for opset 18; a higher number only adds a conversion pass. It is also the
# newest that runtimes of early 2023 read: ONNX Runtime 1.14, OpenVINO 2023.0, TensorRT 8.6.
OPSET = 18

_LARGEST_BYTES = 2**31 - 1  # a protobuf message holds no more; weights would have to go to a second file


def write_onnx(program: torch.export.ExportedProgram, path: Path, properties: Mapping[str, object]) -> None:
    """Translate the program and write one ONNX file: input "image" (batch, C, H, W), output "scores" (batch, K).

    properties  stored as JSON under their names in the model's metadata, for whoever finds the file alone
    raises      BackendError without onnx and onnxscript, for an operator without a translation, or above 2 GiB
    """
    weight_bytes = sum(tensor.nbytes for tensor in program.state_dict.values())
    if weight_bytes >= _LARGEST_BYTES:
        raise BackendError(
            f"the weights take {show_bytes(weight_bytes)}, an ONNX file holds 2 GiB at most. Try --format torch-export."
        )
    document = _translate(program, properties)
    path.write_bytes(document)


def _translate(program: torch.export.ExportedProgram, properties: Mapping[str, object]) -> bytes:
    try:
        with quiet():
            import onnxscript  # noqa: F401  # torch.onnx needs it, and asks for it late

            translated = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                external_data=False,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                opset_version=OPSET,
            )
            assert translated is not None
            model = translated.model
            for name, value in properties.items():
                model.metadata_props[name] = json.dumps(value, ensure_ascii=False)
            _name_batch(model)
            return bytes(translated.model_proto.SerializeToString())
    except ImportError as error:
        raise BackendError(
            f"exporting to ONNX needs the package {error.name or 'onnx'}: "
            "pip install 'rooflight[onnx]' (from a checkout: pip install '.[onnx]')."
        ) from error
    except Exception as error:  # the exporter's own errors are private types
        raise BackendError(f"the model cannot be translated to ONNX: {first_line(error)}.") from error


def _name_batch(model: Any) -> None:
    """The first dimension is called "batch" for whoever opens the file; the tracer calls it s77."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape[0] = "batch"
