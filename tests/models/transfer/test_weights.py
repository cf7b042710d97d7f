"""Weights from files: how names are matched, and what is said of files that do not fit."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, DataError
from rooflight.models.transfer.base import find_base
from rooflight.models.transfer.weights import load_weights, read_weights, weights_sha256

NAME = "squeezenet1_1"  # the smallest of torchvision's


def classifier() -> nn.Module:
    from torchvision import models

    torch.manual_seed(1)
    model: nn.Module = models.get_model(NAME, weights=None)
    return model


def base() -> nn.Module:
    torch.manual_seed(2)
    return find_base(f"transfer:{NAME}").build("pooled")


def assert_loaded(found: nn.Module, published: nn.Module) -> None:
    expected = published.state_dict()
    assert found.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.model.", "backbone."])
def test_the_published_classifier_loads_whatever_its_names_begin_with(tmp_path: Path, suffix: str, prefix: str) -> None:
    published, found = classifier(), base()
    state = {prefix + name: value for name, value in published.state_dict().items()}
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"epoch": 3, "state_dict": state}, file)
    else:
        safetensors.torch.save_file(state, file)
    said = load_weights(found, read_weights(file), source=str(file))
    assert_loaded(found, published)
    assert said == "50 tensors by name, 2 of its classifier left out"


def test_a_file_of_the_convolutions_alone_loads_into_their_container() -> None:
    published, found = classifier(), base()
    load_weights(found, published.get_submodule("features").state_dict(), source="convolutions.pth")
    assert_loaded(found, published)


def test_a_missing_tensor_is_named() -> None:
    state = classifier().state_dict()
    del state["features.0.weight"]
    with pytest.raises(DataError, match=r"x\.pth do not fit: 1 of the base's 50 tensors are missing \(features\.0\.w"):
        load_weights(base(), state, source="x.pth")


def test_a_tensor_of_another_shape_is_named_with_both() -> None:
    state = classifier().state_dict() | {"features.0.weight": torch.zeros(64, 3, 7, 7)}
    with pytest.raises(DataError, match=r"features\.0\.weight is \(64, 3, 7, 7\), the base has \(64, 3, 3, 3\)"):
        load_weights(base(), state, source="x.pth")


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"layer{number}": value for number, value in enumerate(state.values())}


def test_other_names_in_the_same_order_load_only_where_that_is_documented() -> None:
    published, found = classifier(), base()
    state = renamed(published.state_dict())
    said = load_weights(found, state, source="x.pth", in_order=True)
    assert_loaded(found, published)
    assert said == "50 tensors by their order, all shapes equal, 2 of its classifier left out"
    with pytest.raises(DataError, match="50 of the base's 50 tensors are missing"):
        load_weights(found, state, source="x.pth")


def test_other_names_in_another_order_are_refused() -> None:
    state = dict(reversed(renamed(classifier().state_dict()).items()))
    with pytest.raises(DataError, match="share no name with the base, and in their order their shapes differ"):
        load_weights(base(), state, source="x.pth", in_order=True)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"no weights at all")
    with pytest.raises(DataError, match=name):
        read_weights(file)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    torch.save(classifier(), file)  # the whole module: its class would be imported and called
    with pytest.raises(DataError, match="holds no plain state dict"):
        read_weights(file)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "numbers.pth"
    torch.save({"lr": 0.1}, file)
    with pytest.raises(DataError, match="holds dict, no state dict"):
        read_weights(file)


def test_pth_files_are_refused_where_pytorch_reads_them_unsafely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pth"
    torch.save(classifier().state_dict(), file)
    monkeypatch.setattr(torch, "__version__", "2.9.1")
    with pytest.raises(ConfigError, match="CVE-2026-24747"):
        read_weights(file)


def test_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_weights(tmp_path / "none.safetensors")


def test_the_hash_is_of_names_and_values() -> None:
    first, second = base(), base()
    assert weights_sha256(first) == weights_sha256(second)
    with torch.no_grad():
        next(second.parameters())[0] += 1
    assert weights_sha256(first) != weights_sha256(second)
