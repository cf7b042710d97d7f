"""ONNX files in ONNX Runtime."""

from pathlib import Path
from typing import Any, Literal

import torch

from rooflight.core.errors import BackendError
from rooflight.deploy.quiet import first_line
from rooflight.deploy.runner import Runner, scores_of

_ERRORS_ONLY = 3  # ONNX Runtime's log level


class OnnxRunner:
    """An ONNX Runtime session."""

    def __init__(self, session: Any, name: str) -> None:
        self.name = name
        self._session = session
        asked = session.get_inputs()[0]
        self._input = asked.name
        self._dtype = torch.int64 if asked.type == "tensor(int64)" else torch.float32

    def run(self, batch: torch.Tensor) -> torch.Tensor:
        inputs = batch.detach().to("cpu", self._dtype).contiguous().numpy()
        try:
            outputs = self._session.run(None, {self._input: inputs})
        except Exception as error:  # the runtime's exceptions share no public base
            raise BackendError(
                f"ONNX Runtime refuses a batch of shape {tuple(batch.shape)}: {first_line(error)}."
            ) from error
        return scores_of(torch.from_numpy(outputs[0]))


def onnx_runner(path: Path, *, device: Literal["auto", "cpu", "cuda"] = "cpu") -> Runner:
    """A single-file ONNX model as a Runner; its name says which device an "auto" became.

    raises  BackendError without onnxruntime, for a file that it cannot load, for weights kept outside the file (they
            would be read from any path the file names), and for "cuda" where the installed build has none
    """
    _refuse_outside_weights(path)
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # The same threads as PyTorch: a fair comparison, and no fight over pinned cores inside a container.
    options.intra_op_num_threads = torch.get_num_threads()
    providers = _providers(device, onnxruntime.get_available_providers())
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise BackendError(f"ONNX Runtime cannot load {path}: {first_line(error)}.") from error
    place = "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
    if device == "cuda" and place == "cpu":  # the provider exists, but its libraries did not load
        raise BackendError("ONNX Runtime could not start on CUDA: its CUDA and cuDNN do not match. Try --device cpu.")
    return OnnxRunner(session, f"onnxruntime {onnxruntime.__version__} ({place})")


def _providers(device: str, available: list[str]) -> list[Any]:
    cuda = "CUDAExecutionProvider" in available
    if device == "cuda" and not cuda:
        raise BackendError(
            "this build of onnxruntime has no CUDA. Try pip install onnxruntime-gpu in its place, or --device cpu."
        )
    # TF32 is the runtime's default and PyTorch's is not: without this a float32 file gives 10-bit products.
    first: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"})] if cuda and device != "cpu" else []
    return [*first, "CPUExecutionProvider"]


def _refuse_outside_weights(path: Path) -> None:
    onnx = _onnx()
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, or OSError
        raise BackendError(f"{path} is not an ONNX model: {first_line(error)}.") from error
    outside = [tensor.name for tensor in _tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise BackendError(
            f"{path} keeps {len(outside)} tensors outside the file ({outside[0]}, …); only single files are run. "
            "Try onnx.save(onnx.load(path), other_path)."
        )


def _tensors(message: Any) -> list[Any]:
    """Every TensorProto inside a protobuf message, wherever it sits: initializers, attributes, subgraphs, functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        return [message]
    found = []
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if hasattr(value, "__len__") else (value,):
                found += _tensors(item)
    return found


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise BackendError(
            "reading ONNX files needs the package onnx: "
            "pip install 'rooflight[onnx]' (from a checkout: pip install '.[onnx]')."
        ) from error
    return onnx


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            "running ONNX files needs the package onnxruntime: "
            "pip install 'rooflight[onnx]' (from a checkout: pip install '.[onnx]')."
        ) from error
    return onnxruntime
