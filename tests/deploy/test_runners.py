"""Files that must not be run, and runtimes that are not there."""

from pathlib import Path

import pytest
import torch
from torch import nn

from rooflight.core.errors import BackendError
from rooflight.core.runs import Artifact
from rooflight.deploy.onnx_runner import onnx_runner
from rooflight.deploy.program import program_runner
from rooflight.deploy.runner import torch_runner


def test_torch_runner_evaluates_and_returns_float32_on_the_cpu(net: nn.Module) -> None:
    runner = torch_runner(net.train().bfloat16())
    scores = runner.run(torch.zeros((2, 1, 8, 8), dtype=torch.bfloat16))
    assert (scores.dtype, scores.shape, scores.device.type) == (torch.float32, (2, 4), "cpu")
    assert not scores.requires_grad
    assert not net.training


def test_onnx_with_weights_outside_is_refused(shipped: dict[str, Artifact], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(shipped["onnx"].path)
    onnx.save_model(model, tmp_path / "split.onnx", save_as_external_data=True, size_threshold=0)
    with pytest.raises(BackendError, match=r"keeps \d+ tensors outside the file"):
        onnx_runner(tmp_path / "split.onnx")


def test_names_and_dynamic_batch_of_the_onnx_graph(shipped: dict[str, Artifact]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(shipped["onnx"].path, providers=["CPUExecutionProvider"])
    image, scores = session.get_inputs()[0], session.get_outputs()[0]
    assert (image.name, image.shape) == ("image", ["batch", 1, 8, 8])
    assert (scores.name, scores.shape) == ("scores", ["batch", 4])


@pytest.mark.parametrize("format", ["onnx", "torch-export"])
def test_wrong_image_size_is_one_sentence(shipped: dict[str, Artifact], format: str) -> None:
    path = Path(shipped[format].path)
    runner = onnx_runner(path) if format == "onnx" else program_runner(path)
    with pytest.raises(BackendError, match=r"refuses a batch of shape \(2, 1, 9, 9\)") as caught:
        runner.run(torch.zeros((2, 1, 9, 9)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("open_runner", [onnx_runner, program_runner])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, open_runner: object) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(BackendError, match="model"):
        open_runner(path)  # type: ignore[operator]


@pytest.mark.parametrize("open_runner", [onnx_runner, program_runner])
def test_missing_file_is_named(tmp_path: Path, open_runner: object) -> None:
    with pytest.raises(BackendError, match=r"absent\.bin"):
        open_runner(tmp_path / "absent.bin")  # type: ignore[operator]


def test_changed_program_is_refused_before_it_is_loaded(shipped: dict[str, Artifact]) -> None:
    artifact = shipped["torch-export"]
    program_runner(Path(artifact.path), sha256=artifact.sha256)
    with pytest.raises(BackendError, match="SHA-256 differs"):
        program_runner(Path(artifact.path), sha256="0" * 64)


def test_cuda_without_a_cuda_build_is_told(shipped: dict[str, Artifact]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of onnxruntime has CUDA")
    path = Path(shipped["onnx"].path)
    with pytest.raises(BackendError, match="has no CUDA"):
        onnx_runner(path, device="cuda")
    assert onnx_runner(path, device="auto").name.endswith("(cpu)")


@pytest.mark.gpu
def test_program_runs_on_the_gpu(shipped: dict[str, Artifact], net: nn.Module) -> None:
    path = Path(shipped["torch-export"].path)
    batch = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    expected, found = torch_runner(net).run(batch), program_runner(path, device="cuda").run(batch)
    assert float((expected - found).abs().max()) < 2e-3  # convolutions use TF32 by default
