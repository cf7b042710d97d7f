"""R-CNNs and RetinaNet, on a fixed number of proposals: a trace cannot depend on values.

source  torchvision.models.detection; detectron2's configurations (configs/ of its repository) and NVIDIA's: 2,000
        proposals before suppression, 512 sampled for the heads in training and a quarter of them for masks, 1,000 and
        100 at inference
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

ANCHORS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What of the family a model is.

    neck       "fpn": a pyramid; "c4": the last stage of the ResNet runs on every box; "dc5": it is dilated instead
    stages     of box heads, one after the other (Cascade R-CNN has 3); 0: proposals alone
    norm       "frozen": batch norms as constants; "batch": live ones, over all GPUs or not; "group"
    """

    layers: int = 50
    groups: int = 1
    neck: Literal["fpn", "c4", "dc5"] = "fpn"
    stages: int = 1
    masks: bool = False
    keypoints: bool = False
    semantic: bool = False  # a head for stuff beside the boxes (Panoptic FPN)
    dense: bool = False  # RetinaNet: boxes and classes at every place, no second stage
    classes: int = 81
    norm: Literal["frozen", "batch", "group"] = "frozen"
    deformable: bool = False


class Rcnn(nn.Module):
    """(N, 3, H, W) → (N, scores, …) of all heads together, flattened for a loss."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
        from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
        from torchvision.models.detection.retinanet import RetinaNetHead
        from torchvision.models.detection.rpn import RPNHead

        self.variant = variant
        self.backbone, wide = _backbone(variant)
        self.dense = RetinaNetHead(wide, 9, variant.classes) if variant.dense else None
        anchors = ANCHORS if variant.neck == "fpn" else 5 * ANCHORS
        self.rpn = nn.Identity() if variant.dense else RPNHead(wide, anchors)
        self.last_stage: Any = None
        features = wide * 7 * 7
        if variant.neck == "c4" and variant.stages:
            self.last_stage, features = _resnet(variant).layer4, 2048
        hidden = features if self.last_stage else 1024
        self.boxes: Any = nn.ModuleList(
            nn.ModuleList((_box_head(variant, wide, features, TwoMLPHead), FastRCNNPredictor(hidden, variant.classes)))
            for _ in range(variant.stages)
        )
        inner = 2048 if self.last_stage else wide
        convs = MaskRCNNHeads(inner, () if self.last_stage else (256,) * 4, 1)
        scores = MaskRCNNPredictor(2048 if self.last_stage else 256, 256, variant.classes)
        self.mask = nn.Sequential(convs, scores) if variant.masks else None
        points = nn.Sequential(MaskRCNNHeads(wide, (512,) * 8, 1), nn.ConvTranspose2d(512, 17, 4, 2, 1))
        self.keypoint = points if variant.keypoints else None
        self.stuff = nn.ModuleList(_stuff(wide) for _ in range(4)) if variant.semantic else None

    def forward(self, images: Tensor) -> Tensor:
        found = self.backbone(images)
        levels = list(found.values()) if isinstance(found, dict) else [found]
        n = images.shape[0]
        if self.dense is not None:
            return torch.stack([part.flatten(1).float().mean(1) for part in self.dense(levels).values()], dim=1)
        objectness, deltas = self.rpn(levels)
        means = [_mean(part, n) for part in [*objectness, *deltas]]
        many, few = (512, 128) if self.training else (1000, 100)
        for head, predict in self.boxes:
            pooled = _pooled(levels[0], n, many, 14 if self.last_stage else 7)
            inner = self.last_stage(pooled).mean((2, 3)) if self.last_stage else head(pooled)
            means += [_mean(part, n) for part in predict(inner)]
        for head in (self.mask, self.keypoint):
            if head is not None:
                pooled = _pooled(levels[0], n, few, 14)
                means.append(_mean(head(self.last_stage(pooled) if self.last_stage else pooled), n))
        if self.stuff is not None:
            means += [_mean(head(level), n) for head, level in zip(self.stuff, levels, strict=False)]
        return torch.stack(means, dim=1)


def _mean(part: Tensor, n: int) -> Tensor:
    return part.reshape(n, -1).float().mean(1)


def _norm(variant: Variant) -> Callable[[int], nn.Module]:
    from torchvision.ops import FrozenBatchNorm2d

    kinds: dict[str, Callable[[int], nn.Module]] = {
        "frozen": FrozenBatchNorm2d,
        "batch": nn.BatchNorm2d,
        "group": partial(nn.GroupNorm, 32),
    }
    return kinds[variant.norm]


def _resnet(variant: Variant, **options: object) -> Any:
    from torchvision import models

    name = {(50, 1): "resnet50", (101, 1): "resnet101", (101, 32): "resnext101_32x8d"}[variant.layers, variant.groups]
    return models.get_model(name, weights=None, norm_layer=_norm(variant), **options)


def _backbone(variant: Variant) -> tuple[nn.Module, int]:
    """The feature extractor, the first two of its stages frozen, and the channels that it gives."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

    dilated = {"replace_stride_with_dilation": [False, False, True]} if variant.neck == "dc5" else {}
    body = _resnet(variant, **dilated)
    for name, parameter in body.named_parameters():
        parameter.requires_grad_(name.startswith(("layer2", "layer3", "layer4")))
    if variant.deformable:
        for stage in (body.layer2, body.layer3, body.layer4):
            for block in stage:
                block.conv2 = Deformable(block.conv2)
    if variant.neck == "fpn":
        stages = {"layer2": "0", "layer3": "1", "layer4": "2"}
        stages = stages if variant.dense else {f"layer{stage}": str(stage - 1) for stage in (1, 2, 3, 4)}
        widths = [256, 512, 1024, 2048][-len(stages) :]
        extra = LastLevelP6P7(2048, 256) if variant.dense else LastLevelMaxPool()
        return BackboneWithFPN(body, stages, widths, 256, extra_blocks=extra), 256
    last = 3 if variant.neck == "c4" else 4
    stem = (body.conv1, body.bn1, body.relu, body.maxpool)
    stages_of = [getattr(body, f"layer{stage}") for stage in range(1, last + 1)]
    return nn.Sequential(*stem, *stages_of), 1024 if variant.neck == "c4" else 2048


def _box_head(variant: Variant, wide: int, features: int, plain: Callable[[int, int], nn.Module]) -> nn.Module:
    """Two linear layers; with group norm four convolutions and one, as detectron2 has it; none behind a last stage."""
    if variant.neck == "c4":
        return nn.Identity()
    if variant.norm != "group":
        return plain(features, 1024)
    convs = [
        layer
        for _ in range(4)
        for layer in (nn.Conv2d(wide, 256, 3, padding=1, bias=False), nn.GroupNorm(32, 256), nn.ReLU())
    ]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(256 * 7 * 7, 1024), nn.ReLU())


def _stuff(wide: int) -> nn.Module:
    """One level's way to the semantic scores of Panoptic FPN."""
    return nn.Sequential(
        nn.Conv2d(wide, 128, 3, padding=1, bias=False), nn.GroupNorm(32, 128), nn.ReLU(), nn.Conv2d(128, 54, 1)
    )


class Deformable(nn.Module):
    """A deformable 3 × 3 convolution: offsets from one convolution, samples that they point at, then the product."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(plain.in_channels, 2 * 9, 3, plain.stride[0], padding=1)
        self.product = nn.Conv2d(9 * plain.in_channels, plain.out_channels, 1, bias=False)
        self.stride = plain.stride

    def forward(self, x: Tensor) -> Tensor:
        offsets = self.offsets(x)
        near = x[:, :, :: self.stride[0], :: self.stride[1]]
        sampled = torch.cat([near * offsets[:, place : place + 1] for place in range(9)], dim=1)
        out: Tensor = self.product(sampled)
        return out


def _pooled(features: Tensor, n: int, count: int, size: int) -> Tensor:
    """(N·count, C, size, size) out of the pyramid, all from one level: the work is that of the boxes."""
    from torchvision.ops import roi_align

    boxes = torch.zeros(n * count, 5, dtype=features.dtype, device=features.device)
    pooled: Tensor = roi_align(features, boxes, output_size=size, spatial_scale=0.25, sampling_ratio=2)
    return pooled


def variant(name: str) -> Variant:
    """ "mask-rcnn-x101-gn" → what it is; the name begins with its kind, and says what is not usual."""
    kind, words = name.partition("-")[0], set(name.split("-")[1:])
    return Variant(
        layers=101 if words & {"101", "x101"} else 50,
        groups=32 if "x101" in words else 1,
        neck="c4" if "c4" in words else "dc5" if "dc5" in words else "fpn",
        stages={"rpn": 0, "retina": 0, "cascade": 3}.get(kind, 1),
        masks=kind in ("mask", "cascade", "panoptic"),
        keypoints=kind == "keypoint",
        semantic=kind == "panoptic",
        dense=kind == "retina",
        classes=1231 if "lvis" in words else 81,
        norm="group" if "gn" in words else "batch" if "bn" in words else "frozen",
        deformable="dconv" in words,
    )
