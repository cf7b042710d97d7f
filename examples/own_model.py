"""Train your own PyTorch model on your own arrays, in three lines.

python examples/own_model.py
"""

import torch
from torch import nn

from rooflight import fit


def main() -> None:
    """Which side of a plane is a point on?"""
    points = torch.randn(2000, 6)
    sides = (points.sum(1) > 0).long()

    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    fitted = fit(model, (points, sides), epochs=5, lr=0.01)
    print(f"accuracy {fitted.accuracy:.1%} on held-out points; the first: {fitted.predict(points[:1])}")


if __name__ == "__main__":
    main()
