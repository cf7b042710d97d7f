"""Bases without their classifiers: features, blocks, what is frozen and what is trained."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rooflight.core.errors import ConfigError
from rooflight.models.resolve import resolve
from rooflight.models.transfer.base import find_base
from rooflight.models.transfer.blocks import blocks_of
from rooflight.models.transfer.model import build_transfer

# name → features pooled, blocks, the layers of the top block that have weights of their own
FAMILIES = {
    "alexnet": (256, 5, ["Conv2d"]),
    "convnext_tiny": (768, 9, ["Sequential"]),
    "densenet121": (1024, 8, ["_DenseBlock", "BatchNorm2d"]),
    "efficientnet_b0": (1280, 9, ["Conv2dNormActivation"]),
    "googlenet": (1024, 12, ["Inception"]),
    "mnasnet0_5": (1280, 10, ["Conv2d", "BatchNorm2d"]),
    "mobilenet_v2": (1280, 19, ["Conv2dNormActivation"]),
    "mobilenet_v3_small": (576, 13, ["Conv2dNormActivation"]),
    "regnet_y_400mf": (440, 5, ["AnyStage"]),
    "resnet18": (512, 5, ["Sequential"]),
    "resnet50": (2048, 5, ["Sequential"]),
    "shufflenet_v2_x0_5": (1024, 5, ["Sequential"]),
    "squeezenet1_1": (512, 9, ["Fire"]),
    "swin_t": (768, 8, ["Sequential", "LayerNorm"]),
    "vit_b_32": (768, 13, ["EncoderBlock", "LayerNorm"]),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_of_torchvision_ends_before_its_classifier(name: str) -> None:
    features, blocks, top = FAMILIES[name]
    model = build_transfer(f"transfer:{name}", 7)
    dense = [layer for layer in model.head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(features, 7)]
    found = blocks_of(model.base)
    assert len(found) == blocks
    assert [type(module).__name__ for module in found[-1]] == top


def test_a_small_image_goes_through_base_and_head() -> None:
    model = build_transfer("transfer:resnet18", 3, size=32).eval()
    images = torch.randn(2, 3, 32, 32)
    features = model.base(images)
    assert features.shape == (2, 512)
    assert torch.equal(model(images), model({"features": features}))


def test_flatten_keeps_the_map() -> None:
    model = build_transfer("transfer:resnet18", 3, head="flatten", size=64)
    assert model.head[1].in_features == 512 * 2 * 2
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 3)
    with pytest.raises(ConfigError, match="densenet121 pools within itself"):
        build_transfer("transfer:densenet121", 3, head="flatten")


def test_vgg_s_usual_head_is_the_classic_one_and_its_blocks_lie_between_pools() -> None:
    model = build_transfer("transfer:vgg11", 10, fine_tune=1)
    assert [type(layer).__name__ for layer in model.head] == ["Flatten", "Linear", "ReLU", "Linear"]
    assert len(blocks_of(model.base)) == 5
    trained = {name for name, parameter in model.base.named_parameters() if parameter.requires_grad}
    assert trained == {"features.16.weight", "features.16.bias", "features.18.weight", "features.18.bias"}


@pytest.mark.parametrize("blocks", [0, 2])
def test_gradients_reach_the_head_and_the_top_blocks_alone(blocks: int) -> None:
    model = build_transfer("transfer:resnet18", 3, size=32, fine_tune=blocks).train()
    F.cross_entropy(model(torch.randn(2, 3, 32, 32)), torch.tensor([0, 2])).backward()
    reached = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {"1"} | {"layer3", "layer4"} if blocks else {"1"}


def test_training_leaves_the_statistics_of_batch_normalisation_alone() -> None:
    model = build_transfer("transfer:resnet18", 3, size=32, fine_tune=2).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(4, 3, 32, 32) + 5)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert model.base.layer4.training
    assert not model.base.layer1.training


def test_dropout_is_on_in_trained_blocks_alone() -> None:
    model = build_transfer("transfer:vit_b_32", 3, fine_tune=1).train()
    drops = [module for module in model.base.modules() if isinstance(module, nn.Dropout)]
    assert sum(drop.training for drop in drops) == 3  # of the last encoder layer
    assert not any(drop.training for drop in drops[:-3])


def test_too_many_blocks_are_refused_with_the_number() -> None:
    with pytest.raises(ConfigError, match="this base has 5 blocks"):
        build_transfer("transfer:resnet18", 3, fine_tune=6)


def test_a_size_that_the_base_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="--image-size 100: vit_b_32 does not take such images"):
        build_transfer("transfer:vit_b_32", 3, size=100)


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'resnet18'"):
        find_base("transfer:resnet_18")


def test_the_margin_around_the_crop_keeps_its_share() -> None:
    pixels = find_base("transfer:resnet18").pixels
    assert pixels is not None
    assert (pixels.resize, pixels.crop) == (256, 224)
    assert (pixels.at(64).resize, pixels.at(64).crop) == (73, 64)  # 256 / 224 · 64


def test_any_base_can_be_planned() -> None:
    recipe = resolve("transfer:mobilenet_v3_small")
    assert recipe.input_shape == (3, 224, 224)
    assert sum(p.numel() for p in recipe.build().parameters() if p.requires_grad) == (576 + 1) * 10
