"""Every model by its name: shapes, parameters by hand, and what trains."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from rooflight.core.errors import ConfigError
from rooflight.models.registry import MODELS, find_model, random_input


@pytest.mark.parametrize("name", MODELS)
def test_scores_have_a_row_for_each_sample_and_a_column_for_each_class(name: str) -> None:
    entry = find_model(name)
    with torch.no_grad():
        scores = entry.build(7)(random_input(entry, 2))
    assert scores.shape == (2, 7)


def test_a_wrong_name_is_said_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no model 'cn'. Did you mean 'cnn'"):
        find_model("cn")


def test_random_input_is_the_same_for_the_same_seed_and_tokens_stay_in_the_vocabulary() -> None:
    tokens = random_input(MODELS["lstm"], 64)
    assert tokens.dtype == torch.int64
    assert (int(tokens.min()) >= 0, int(tokens.max()) < 1000) == (True, True)
    assert torch.equal(tokens, random_input(MODELS["lstm"], 64))
    assert not torch.equal(tokens, random_input(MODELS["lstm"], 64, seed=1))


def test_parameters_of_the_lstm_by_hand() -> None:
    embedding, dense = 1000 * 128, (128 + 1) * 1000
    lstm = 4 * (128 * 128 + 128 * 128 + 128 + 128)  # four gates; two biases each
    model = MODELS["lstm"].build(1000)
    assert sum(p.numel() for p in model.parameters()) == embedding + lstm + dense == 389_096


def test_the_lstm_reads_the_order_of_the_words() -> None:
    model, words = MODELS["lstm"].build(1000), random_input(MODELS["lstm"], 1)
    with torch.no_grad():
        assert not torch.allclose(model(words), model(words.flip(1)))


def test_only_the_head_of_the_transfer_model_is_trained() -> None:
    model, entry = MODELS["transfer:vgg16"].build(10), MODELS["transfer:vgg16"]
    base = sum(9 * inside * out + out for inside, out in pairwise(WIDTHS))
    head = (512 * 7 * 7 + 1) * 256 + (256 + 1) * 10
    assert sum(p.numel() for p in model.parameters()) == base + head == 21_140_042
    F.cross_entropy(model(random_input(entry, 1)), torch.tensor([3])).backward()
    assert sum(p.numel() for p in model.parameters() if p.grad is not None) == head


WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # configuration D, without its pools
