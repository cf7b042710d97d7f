"""Models that read text: windows of a stream of tokens, and the token that follows each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import DataInfo, TextInput
from rooflight.core.training import TrainConfig
from rooflight.flows.family import Family, Found, Reads, TrainData
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import nn

    from rooflight.data.text.windows import Stream

EVALUATION_BATCH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TextData:
    """A corpus as token ids."""

    vocabulary: tuple[str, ...]
    train: Stream
    test: Stream


def find(config: TrainConfig, console: Console) -> Found:
    """The text as windows of known tokens.

    raises  ConfigError if it is not there; DataError if it is no text, or holds no window for training or testing
    """
    from rooflight.data.text.corpus import load_corpus
    from rooflight.data.text.tokens import tokenise
    from rooflight.data.text.vocabulary import build_vocabulary, encode
    from rooflight.data.text.windows import make_stream

    corpus = load_corpus(config.data)
    train, test = ([tokenise(text, config.level) for text in texts] for texts in (corpus.train, corpus.test))
    vocabulary = build_vocabulary(train, config.words)
    data = TextData(
        vocabulary=vocabulary,
        train=make_stream([encode(tokens, vocabulary) for tokens in train], config.length),
        test=make_stream([encode(tokens, vocabulary) for tokens in test], config.length),
    )
    tokens = sum(map(len, train))
    for name, stream in (("training", data.train), ("held-out", data.test)):
        if not len(stream.starts):
            raise DataError(
                f"the {name} part of {corpus.name} has no {config.length + 1} tokens in a row of which all are among "
                f"the {len(vocabulary) - 2:,} words of the vocabulary. Try a longer text, a smaller --length, more "
                "--words, or --level character."
            )
    info = DataInfo(
        name=corpus.name,
        source=corpus.source,
        train_count=len(data.train.starts),
        test_count=len(data.test.starts),
        classes=vocabulary,
        sha256=corpus.sha256,
        licence=corpus.licence,
        samples="windows",
    )
    unit = "words and signs" if config.level == "word" else "characters"
    reasons = (
        f"text: {tokens:,} {unit}; a sample is {config.length} of them and the next, all in the vocabulary",
        f"held out for the test: {corpus.held_out}",
    )
    return Found(data=data, info=info, reasons=reasons)


def prepare(found: Found, config: TrainConfig, setting: Setting) -> TrainData:
    """The stream on the device, and batches of its windows."""
    from rooflight.data.text.windows import Windows

    data: TextData = found.data
    kept = len(data.train.starts) - round(config.validation * len(data.train.starts))
    if not kept:
        raise ConfigError(f"--validation {config.validation:g} leaves no window to train on. Try --validation 0.1.")
    # Windows overlap: what is held out for --patience is the end of the text, not a draw.
    train, validation = (
        replace(data.train, starts=starts) for starts in (data.train.starts[:kept], data.train.starts[kept:])
    )
    batches = Windows(train, batch=config.batch, seed=config.seed, device=setting.device)

    def evaluated(stream: Stream) -> Windows:
        return Windows(stream, batch=EVALUATION_BATCH, seed=config.seed, device=setting.device, shuffle=False)

    return TrainData(
        info=found.info,
        reads=Reads(
            classes=data.vocabulary,
            text=TextInput(level=config.level, words=data.vocabulary, length=config.length),
        ),
        batches=batches,
        test_batches=evaluated(data.test),
        validation=evaluated(validation) if len(validation.starts) else None,
        labels=batches.labels,
    )


def build(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
    """The recurrent model; its weights are drawn, whether they are kept or not."""
    from rooflight.models.lstm import Lstm

    if reads.text is None:
        raise ConfigError(f"{config.model} reads texts, and this run's checkpoint has no vocabulary. Try another run.")
    words = len(reads.text.words)
    return Lstm(words, words, config.units, layers=config.layers, cell=config.cell)


TEXTS = Family(find=find, prepare=prepare, build=build)
