"""Faster and Mask R-CNN with a feature pyramid, on a fixed number of proposals: a trace cannot depend on values.

source  torchvision.models.detection; detectron2's and NVIDIA's configurations: 2,000 proposals before suppression, 512
        sampled for the heads in training and a quarter of them for masks, 1,000 and 100 at inference
"""

from functools import partial

import torch
from torch import Tensor, nn

LEVELS = 5
ANCHORS = 3
CLASSES = 81


class Rcnn(nn.Module):
    """(N, 3, H, W) → (N, scores, …) of all heads together, flattened for a loss."""

    def __init__(self, *, masks: bool, layers: int = 50, groups: int = 1, keypoints: bool = False) -> None:
        super().__init__()
        from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
        from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
        from torchvision.models.detection.rpn import RPNHead

        name = {(50, 1): "resnet50", (101, 1): "resnet101", (101, 32): "resnext101_32x8d"}[layers, groups]
        make = partial(resnet_fpn_backbone, backbone_name=name, weights=None, trainable_layers=3)
        self.backbone = make()
        self.rpn = RPNHead(256, ANCHORS)
        self.box = nn.Sequential(TwoMLPHead(256 * 7 * 7, 1024))
        self.box_scores = FastRCNNPredictor(1024, CLASSES)
        self.mask = (
            nn.Sequential(MaskRCNNHeads(256, (256,) * 4, 1), MaskRCNNPredictor(256, 256, CLASSES)) if masks else None
        )
        self.keypoint = (
            nn.Sequential(MaskRCNNHeads(256, (512,) * 8, 1), nn.ConvTranspose2d(512, 17, 4, 2, 1))
            if keypoints
            else None
        )

    def forward(self, images: Tensor) -> Tensor:
        levels = list(self.backbone(images).values())
        n = images.shape[0]
        objectness, boxes = self.rpn(levels)
        found = [part.flatten(1).float().mean(1) for part in [*objectness, *boxes]]
        count = 512 if self.training else 1000
        scores, deltas = self.box_scores(self.box(_pooled(levels[0], n, count, 7)))
        found += [scores.view(n, -1).float().mean(1), deltas.view(n, -1).float().mean(1)]
        few = 128 if self.training else 100
        for head, size in ((self.mask, 14), (self.keypoint, 14)):
            if head is not None:
                found.append(head(_pooled(levels[0], n, few, size)).view(n, -1).float().mean(1))
        return torch.stack(found, dim=1)


def _pooled(features: Tensor, n: int, count: int, size: int) -> Tensor:
    """(N·count, C, size, size) out of the pyramid, all from one level: the work is that of the boxes."""
    from torchvision.ops import roi_align

    boxes = torch.zeros(n * count, 5, dtype=features.dtype, device=features.device)
    pooled: Tensor = roi_align(features, boxes, output_size=size, spatial_scale=0.25, sampling_ratio=2)
    return pooled
