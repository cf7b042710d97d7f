"""VGG16 in its transfer form: a frozen base, and a head to be trained."""

from torch import Tensor, nn


class TransferVgg16(nn.Module):
    """VGG16's convolutions, frozen; Flatten, Dense 256, ReLU, Dense classes on top of them.

    input    (N, 3, 224, 224), normalised
    returns  class scores (N, classes); 21,140,042 parameters for ten classes, of which 6,425,354 are trained
    source   torchvision's VGG16, configuration D of Simonyan and Zisserman, arXiv 1409.1556. The base starts at random:
             nothing is downloaded
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        from torchvision.models import vgg16  # takes two seconds to import, and a CNN does not need it

        self.features = vgg16(weights=None).features.requires_grad_(False)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(512 * 7 * 7, 256), nn.ReLU(), nn.Linear(256, classes))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(x))
        return scores
