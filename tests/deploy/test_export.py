"""Both formats, from a model to a folder that can be trusted."""

import json
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import rooflight.deploy.export as export_module
from rooflight.core.errors import BackendError, ConfigError, ShapeError
from rooflight.core.files import sha256
from rooflight.core.runs import Artifact
from rooflight.deploy.export import artifact_runner, read_artifact
from rooflight.deploy.parity import TOLERANCE
from rooflight.deploy.runner import torch_runner

from .conftest import CLASSES, PREPROCESSING, Ship, small_net

FORMATS = ("onnx", "torch-export")


@contextmanager
def files_no_larger_than(count: int) -> Iterator[None]:
    """The nearest thing to a full disk: the kernel refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Mirrored(nn.Module):
    """Says one thing to PyTorch and another to the tracer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.net(x)
        return scores + 0.01 if torch.compiler.is_exporting() else scores


@pytest.mark.parametrize("format", FORMATS)
def test_export_agrees_at_one_three_and_sixty_four(shipped: dict[str, Artifact], format: str) -> None:
    artifact = shipped[format]
    assert [parity.batch for parity in artifact.parity] == [1, 3, 64]
    assert all(parity.agrees for parity in artifact.parity)
    assert all(parity.largest_difference <= parity.tolerance for parity in artifact.parity)
    assert artifact.input_shape == (None, 1, 8, 8)
    assert artifact.classes == CLASSES


@pytest.mark.parametrize("format", FORMATS)
def test_artifact_describes_the_file_and_comes_back(shipped: dict[str, Artifact], tmp_path: Path, format: str) -> None:
    artifact = shipped[format]
    path = Path(artifact.path)
    assert artifact.bytes == path.stat().st_size
    assert artifact.sha256 == sha256(path)
    assert sorted(item.name for item in path.parent.iterdir()) == ["artifact.json", path.name]
    moved = shutil.copytree(path.parent, tmp_path / "moved")
    assert read_artifact(moved) == replace(artifact, path=str(moved / path.name))


@pytest.mark.parametrize("format", FORMATS)
def test_runner_of_an_artifact_gives_pytorchs_scores(shipped: dict[str, Artifact], net: nn.Module, format: str) -> None:
    artifact = shipped[format]
    batch = torch.randn((5, 1, 8, 8), generator=torch.Generator().manual_seed(7))
    expected, found = torch_runner(net).run(batch), artifact_runner(artifact).run(batch)
    assert float((expected - found).abs().max()) <= TOLERANCE["float32"] * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("format", FORMATS)
def test_same_model_gives_the_same_bytes_in_silence(
    ship: Ship, shipped: dict[str, Artifact], tmp_path: Path, format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ship(small_net(), format, tmp_path).sha256 == shipped[format].sha256
    assert capfd.readouterr() == ("", "")


def test_model_is_left_as_it_was(ship: Ship, net: nn.Sequential, tmp_path: Path) -> None:
    net.train().half()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    ship(net, "torch-export", tmp_path)
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net[0].weight.dtype == torch.float16


@pytest.mark.parametrize("format", FORMATS)
def test_no_path_of_this_machine_is_in_the_file(shipped: dict[str, Artifact], format: str) -> None:
    content = Path(shipped[format].path).read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert str(Path(torch.__file__).parent).encode() not in content


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_disagrees_is_not_named_as_if_good(
    ship: Ship, shipped: dict[str, Artifact], tmp_path: Path, format: str
) -> None:
    shutil.copytree(Path(shipped[format].path).parent, tmp_path, dirs_exist_ok=True)
    good = read_artifact(tmp_path)
    bad = ship(Mirrored(), format, tmp_path)
    assert not any(parity.agrees for parity in bad.parity)
    assert bad.parity[0].largest_difference == pytest.approx(0.01, rel=1e-3)
    assert ".disagrees." in Path(bad.path).name
    assert sha256(Path(bad.path)) == bad.sha256
    assert read_artifact(tmp_path) == good
    ship(small_net(), format, tmp_path)
    assert not list(tmp_path.glob("*disagrees*"))


def test_frozen_batch_is_named(ship: Ship, tmp_path: Path) -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x).reshape(int(x.shape[0]), 4) + torch.zeros(2, 4)

    with pytest.raises(BackendError, match="Frozen works for one batch size only"):
        ship(Frozen(), "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_branch_on_a_value_is_named(ship: Ship, tmp_path: Path) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x) if x.sum() >= 0 else -self.net(x)

    with pytest.raises(BackendError, match="cannot follow Branching"):
        ship(Branching(), "torch-export", tmp_path)


def test_scores_and_class_names_must_match(ship: Ship, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="returns 7 scores, there are 4 class names"):
        ship(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "onnx", tmp_path)
    with pytest.raises(ShapeError, match=r"does not take images of shape \(1, 8, 8\)"):
        ship(nn.Sequential(nn.Flatten(), nn.Linear(63, 4)), "onnx", tmp_path)
    with pytest.raises(ShapeError, match="one tensor of class scores"):
        ship(nn.Conv2d(1, 4, 3), "onnx", tmp_path)


@pytest.mark.parametrize("package", ["onnxscript", "onnx", "onnxruntime"])
def test_missing_package_is_one_sentence(
    ship: Ship, net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendError) as caught:
        ship(net, "onnx", tmp_path / "a" / "b")
    assert package in str(caught.value)
    assert str(caught.value).endswith("pip install 'rooflight[onnx]' (from a checkout: pip install '.[onnx]').")
    assert not (tmp_path / "a").exists()


def test_torch_export_needs_no_onnx_package(
    ship: Ship, net: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert ship(net, "torch-export", tmp_path).checked_with.startswith("torch ")


@pytest.mark.parametrize("format", FORMATS)
def test_full_disk_leaves_nothing(ship: Ship, net: nn.Module, tmp_path: Path, format: str) -> None:
    with files_no_larger_than(1000), pytest.raises(OSError, match="File too large"):
        ship(net, format, tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_disk_that_fills_up_at_the_artifact_keeps_the_earlier_pair(
    ship: Ship, shipped: dict[str, Artifact], tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(shipped[format].path).parent, tmp_path, dirs_exist_ok=True)
    good = read_artifact(tmp_path)

    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(export_module, "write_file", full)
    with pytest.raises(OSError, match="No space left"):
        ship(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), format, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert read_artifact(tmp_path) == good


def test_folder_that_cannot_be_made_is_an_oserror(ship: Ship, net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        ship(net, "torch-export", tmp_path / "file" / "out")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_two_formats_do_not_share_a_folder(ship: Ship, net: nn.Module, tmp_path: Path) -> None:
    ship(net, "torch-export", tmp_path)
    with pytest.raises(ConfigError, match=r"holds model\.pt2"):
        ship(net, "onnx", tmp_path)


def test_changed_file_is_not_read(ship: Ship, net: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no artifact\.json"):
        read_artifact(tmp_path)
    path = Path(ship(net, "torch-export", tmp_path).path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ConfigError, match="has changed since"):
        read_artifact(tmp_path)
    path.unlink()
    with pytest.raises(ConfigError, match="not there"):
        read_artifact(tmp_path)


def test_preprocessing_travels_inside_both_files(shipped: dict[str, Artifact]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(shipped["onnx"].path, providers=["CPUExecutionProvider"])
    onnx_properties = session.get_modelmeta().custom_metadata_map
    files = {"rooflight.preprocessing": "", "rooflight.classes": ""}
    torch.export.load(shipped["torch-export"].path, extra_files=files)
    for properties in (onnx_properties, files):
        assert json.loads(properties["rooflight.classes"]) == list(CLASSES)
        assert json.loads(properties["rooflight.preprocessing"])["mean"] == list(PREPROCESSING.mean)
