"""SSD300 on a ResNet-50, as NVIDIA's DeepLearningExamples trains it on COCO.

source  PyTorch/Detection/SSD/ssd/model.py: ResNet-50 to its fourth stage, which keeps a stride of 16; five more levels;
        4 or 6 boxes at each place, 8,732 in all; 81 classes
"""

import torch
from torch import Tensor, nn

WIDTHS = (1024, 512, 512, 256, 256, 256)
BETWEEN = (256, 256, 128, 128, 128)
BOXES = (4, 6, 6, 6, 4, 4)
CLASSES = 81


class Ssd300(nn.Module):
    """(N, 3, 300, 300) → (N, 85, 8732): scores and corners of every box."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        body = resnet50(weights=None)
        fourth = body.layer3[0]
        fourth.conv2.stride = fourth.downsample[0].stride = (1, 1)
        self.body = nn.Sequential(body.conv1, body.bn1, body.relu, body.maxpool, body.layer1, body.layer2, body.layer3)
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, between, 1, bias=False), nn.BatchNorm2d(between), nn.ReLU(inplace=True),
                nn.Conv2d(between, after, 3, stride=2 if number < 3 else 1, padding=1 if number < 3 else 0, bias=False),
                nn.BatchNorm2d(after), nn.ReLU(inplace=True),
            )
            for number, (before, between, after) in enumerate(zip(WIDTHS, BETWEEN, WIDTHS[1:], strict=False))
        )  # fmt: skip
        self.heads = nn.ModuleList(
            nn.Conv2d(width, boxes * (CLASSES + 4), 3, padding=1) for width, boxes in zip(WIDTHS, BOXES, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        found = [x]
        for level in self.levels:
            found.append(level(found[-1]))
        scores = [
            head(level).reshape(x.shape[0], CLASSES + 4, -1) for head, level in zip(self.heads, found, strict=True)
        ]
        return torch.cat(scores, dim=2)
