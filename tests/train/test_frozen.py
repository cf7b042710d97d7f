"""A frozen base in inference: the copy computes the same, and a head on its features agrees with the whole model."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from rooflight.core.errors import BackendError
from rooflight.train.frozen import check_agreement, features_of, inference_copy


class Whole(nn.Module):
    """A base with batch normalisation, and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.base[1].running_mean.normal_()
        self.base[1].running_var.uniform_(0.5, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: Tensor | dict[str, Tensor]) -> Tensor:
        features = self.base(inputs) if isinstance(inputs, Tensor) else inputs["features"]
        scores: Tensor = self.head(features)
        return scores


class Branching(nn.Module):
    """Its path depends on a value, which tracing cannot follow."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.norm(x) if x.sum() > 0 else x
        return found


def kept(model: Whole, images: Tensor) -> Tensor:
    base, _ = inference_copy(model.base)
    seen: list[int] = []
    found = torch.cat(list(features_of(base, images.split(2), nullcontext, lambda count, seconds: seen.append(count))))
    assert sum(seen) == len(images)
    return found


def test_the_copy_folds_batch_normalisation_and_computes_the_same() -> None:
    model, images = Whole().eval(), torch.randn(5, 3, 8, 8)
    base, how = inference_copy(model.base)
    assert "batch normalisation folded" in how
    assert not any(isinstance(module, nn.BatchNorm2d) for module in base.modules())
    assert isinstance(model.base[1], nn.BatchNorm2d)
    assert torch.allclose(kept(model, images), model.base(images), atol=1e-6)


def test_a_base_that_cannot_be_traced_stays_as_it_is() -> None:
    base, how = inference_copy(Branching())
    assert "kept, as it cannot be traced" in how
    assert isinstance(base.norm, nn.BatchNorm2d)


def test_whole_model_and_head_on_features_agree() -> None:
    model, images, labels = Whole(), torch.randn(5, 3, 8, 8), torch.arange(5) % 2
    features = kept(model, images)
    largest, scores, of = check_agreement(
        model,
        [(images[:3], labels[:3]), (images[3:], labels[3:])],
        [({"features": features}, labels)],
        dtype=torch.float32,
        autocast=nullcontext,
    )
    assert 0 <= largest < 1e-5
    assert scores.shape == (5, 2)
    assert torch.equal(of, labels)


def test_features_of_another_base_are_found_out() -> None:
    model, images, labels = Whole(), torch.randn(5, 3, 8, 8), torch.arange(5) % 2
    features = kept(model, images)
    with torch.no_grad():
        model.base[0].weight += 0.1
    pairs = [({"features": features}, labels)]
    with pytest.raises(BackendError, match="differ by"):
        check_agreement(model, [(images, labels)], pairs, dtype=torch.float32, autocast=nullcontext)
