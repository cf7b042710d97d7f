"""Models by name: each form, its input, its parameters, and what is said of a wrong one."""

import json
from pathlib import Path

import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.core.types import Workload
from rooflight.models.configurations import CONFIGURATIONS
from rooflight.models.resolve import resolve

# One of each family that transformers has a class for.
CONFIGURED = (
    *("distilbert/distilbert-base-uncased", "openai-community/gpt2", "facebook/opt-350m", "EleutherAI/pythia-70m"),
    *("bigscience/bloom-560m", "google-t5/t5-small", "facebook/bart-base", "openai/whisper-tiny"),
    *("google/vit-base-patch16-224", "FacebookAI/roberta-base", "meta-llama/Llama-2-70b-hf", "google/gemma-2-9b"),
    *("meta-llama/Llama-3.2-1B", "mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen2.5-7B", "Qwen/Qwen3-0.6B"),
    *("microsoft/phi-2", "tiiuae/falcon-7b", "EleutherAI/gpt-j-6b"),
)


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in resolve(name).build().parameters())


@pytest.mark.parametrize("name", ["cnn", "resnet50", "torchvision:vit_b_16", "torchvision:r3d_18", "googlenet"])
def test_models_of_this_package_and_of_torchvision(name: str) -> None:
    recipe = resolve(name)
    counts = {"cnn": 93_322, "resnet50": 25_557_032, "vit_b_16": 86_567_656, "r3d_18": 33_371_472}
    counts["googlenet"] = 13_004_888  # its two auxiliary heads included
    short = name.rpartition(":")[2]
    assert recipe.name == (name if ":" in name or name == "cnn" else f"torchvision:{name}")
    assert parameters(name) == counts[short]
    assert recipe.input_shape == {"cnn": (1, 28, 28), "r3d_18": (3, 16, 112, 112)}.get(short, (3, 224, 224))


def test_timm_with_a_tag_and_with_another_size() -> None:
    pytest.importorskip("timm")
    assert resolve("timm:convnext_tiny").input_shape == (3, 224, 224)
    assert resolve("convnextv2_tiny").name == "timm:convnextv2_tiny"
    assert parameters("timm:vit_tiny_patch16_224.augreg_in21k") > parameters("timm:vit_tiny_patch16_224")
    small = resolve("timm:vit_tiny_patch16_224", (3, 96, 96))
    with torch.device("meta"):
        assert small.build()(torch.empty(2, 3, 96, 96)).shape == (2, 1000)


@pytest.mark.parametrize("name", CONFIGURED)
def test_configurations_have_the_published_number_of_parameters(name: str) -> None:
    pytest.importorskip("transformers")
    assert parameters(f"hf:{name}") == CONFIGURATIONS[name].parameters


def test_short_names_of_configurations() -> None:
    pytest.importorskip("transformers")
    assert resolve("bert-base-uncased").input_shape == resolve("hf:google-bert/bert-base-uncased").input_shape == (512,)
    for name in ("hf:meta-llama/Llama-2-7b", "llama-2-7b-hf", "hf:Llama-2-7b"):
        assert resolve(name, (2048,)).input_shape == (2048,)
    assert resolve("openai/whisper-tiny").input_shape == (448,)
    assert resolve("openai/clip-vit-base-patch32").input_shape == (3, 224, 224)


def test_another_head() -> None:
    pytest.importorskip("transformers")
    recipe = resolve("bert-base-uncased#BertForSequenceClassification")
    workload = Workload(model="bert", task="train", batch=4, input_shape=(8,), dtype="float32", optimizer="adam")
    batch = recipe.make_input(workload)
    assert {name: tuple(tensor.shape) for name, tensor in batch.items()} == {"input_ids": (4, 8), "labels": (4,)}
    with pytest.raises(ConfigError, match="no class 'BertForNothing'"):
        resolve("bert-base-uncased#BertForNothing")


def test_a_config_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_layer": 2, "n_head": 2}
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 100, "n_positions": 64}))
    # embeddings, per block two norms, attention and an MLP of four times the width, and a last norm
    block = 4 * 32 + 32 * 96 + 96 + 32 * 32 + 32 + 32 * 128 + 128 + 128 * 32 + 32
    assert parameters(f"hf:{tmp_path}") == 100 * 32 + 64 * 32 + 2 * block + 64
    assert resolve(f"hf:{tmp_path / 'config.json'}").input_shape == (64,)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="needs model_type and architectures"):
        resolve(f"hf:{tmp_path}")
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve("hf:nowhere/config.json")


def test_a_function_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\nINPUT_SHAPE = (4,)\ndef build(): return nn.Linear(4, 2)\ndef wrong(): return 3"
    )
    recipe = resolve(f"{file}:build")
    assert recipe.input_shape == (4,)
    assert sum(parameter.numel() for parameter in recipe.build().parameters()) == 10
    with pytest.raises(ConfigError, match=r"no function 'bild'\. Did you mean 'build'"):
        resolve(f"{file}:bild")
    with pytest.raises(ConfigError, match=r"made int, it should make a torch\.nn\.Module"):
        resolve(f"{file}:wrong").build()
    with pytest.raises(ConfigError, match="no file"):
        resolve(f"{tmp_path}/none.py:build")
    file.write_text("def build(): pass")
    with pytest.raises(ConfigError, match="INPUT_SHAPE"):
        resolve(f"{file}:build")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet5", "Did you mean resnet5?0"),
        ("resnet500", "Did you mean .*resnet50"),
        ("nets/vit.py", r"which of its functions builds the model\? Try nets/vit\.py:build"),
        ("hf:bert-base-uncase", "Did you mean 'bert-base-uncased'"),
        ("resnet51", r"Did you mean (\S+) or (?!\1\b)\S+ or (?!\1\b)\S+\?"),
        ("tim:resnet50", "no library 'tim'.*'timm'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "Try its backbone"),
        ("qqqq", "A model is named like cnn, torchvision:resnet50"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(name)


@pytest.mark.parametrize("text", ["import no_such_package", "def (", "raise SystemExit(3)", "1 / 0"])
def test_a_file_that_does_not_run_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "net.py").write_text(text)
    with pytest.raises(ConfigError, match=r"net\.py cannot be run: "):
        resolve(f"{tmp_path / 'net.py'}:build", (3, 8, 8))


def test_a_function_that_wants_arguments(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(width):\n    return width\n")
    with pytest.raises(ConfigError, match=r"is called without arguments, and it wants some: .*'width'"):
        resolve(f"{tmp_path / 'net.py'}:build", (3, 8, 8)).build()
