"""The blocks of a base, from its input to its output: what `--fine-tune 2` trains two of."""

from collections.abc import Sequence

from torch import nn

# Containers whose children are the blocks: torchvision's, timm's and transformers' names for them.
UNFOLDED = ("features", "trunk_output", "layers", "blocks", "stages", "encoder", "layer")
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def blocks_of(base: nn.Module) -> list[list[nn.Module]]:
    """Modules with weights, grouped into blocks.

    VGG       what lies between two max pools: five
    ResNet    the stem, then its four stages
    others    a child of the container that holds the stages: a stage of EfficientNet and ConvNeXt, a layer of BERT and
              ViT. A normalisation that stands alone belongs to the block before it
    """
    if type(base).__name__ == "VGG":
        return _between_pools(base.get_submodule("features"))
    groups: list[list[nn.Module]] = []
    for child in _children(base):
        if not any(True for _ in child.parameters()):
            continue
        if groups and isinstance(child, NORMS):
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups


def freeze(module: nn.Module) -> None:
    """No gradient for it, and neither dropout nor new batch statistics."""
    module.requires_grad_(False).eval()


def train_blocks(blocks: Sequence[nn.Module]) -> None:
    """As in training, but for batch normalisation: a small set's statistics would replace those of the pretraining."""
    for block in blocks:
        block.train()
        for module in block.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def _children(module: nn.Module) -> list[nn.Module]:
    found: list[nn.Module] = []
    for name, child in module.named_children():
        found += _children(child) if name in UNFOLDED else [child]
    return found


def _between_pools(features: nn.Module) -> list[list[nn.Module]]:
    groups: list[list[nn.Module]] = [[]]
    for layer in features.children():
        if isinstance(layer, nn.MaxPool2d):
            groups.append([])
        elif any(True for _ in layer.parameters()):
            groups[-1].append(layer)
    return [group for group in groups if group]
