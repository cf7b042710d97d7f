"""`rooflight predict RUN --prompt …`: what a trained text model writes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.runs import TextInput
from rooflight.core.tables import Report, Table
from rooflight.flows.checkpoint import load_run

MOST_DRAWS = 2**27  # streams × tokens: their random numbers fill a gigabyte


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What `predict --prompt --json` prints."""

    run: str
    prompt: str
    texts: tuple[str, ...]  # one a stream, each with the prompt
    tokens: int  # generated in each
    temperature: float
    seed: int
    tokens_per_second: float  # of all streams together, reading the prompt included
    how: str


def generate(
    run: Path,
    prompt: str,
    *,
    tokens: int = 100,
    temperature: float = 0.8,
    streams: int = 1,
    seed: int = 0,
    device: str = "auto",
    console: Console | None = None,
) -> Report:
    """Texts that go on from the prompt. The first ones stay the same when more are asked for.

    raises  ConfigError for a run that is no text model, and for a prompt with a word that the model does not know
    """
    from rooflight.data.text.tokens import detokenise
    from rooflight.deploy.generate import fold
    from rooflight.deploy.generate import generate as write
    from rooflight.train.device import pick_device

    for name, value in (("tokens", tokens), ("streams", streams)):
        if value < 1:
            raise ConfigError(f"--{name} {value}: it must be 1 or more.")
    if streams * tokens > MOST_DRAWS:
        raise ConfigError(f"--streams {streams} of --tokens {tokens} are more than {MOST_DRAWS:,} tokens in all.")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"--temperature {temperature:g}: it must be 0 or more.")
    if not 0 <= seed < 2**64:
        raise ConfigError(f"--seed {seed}: it must be 0 or more, and below 2⁶⁴.")
    console = console or Silent()
    where, _ = pick_device(device)
    model, checkpoint = load_run(run, where)
    text = checkpoint.text
    if text is None:
        raise ConfigError(f"{run} holds a {checkpoint.model}, which reads images. Try rooflight predict {run} IMAGE.")
    given = encode_prompt(prompt, text)
    config = checkpoint.config
    folded = fold(model.state_dict(), cell=config.cell, layers=config.layers, device=where)
    console.say(f"writing {streams:,} × {tokens:,} tokens")
    found = write(folded, given, tokens=tokens, temperature=temperature, streams=streams, seed=seed)
    texts = tuple(detokenise([text.words[place] for place in (*given, *row)], text.level) for row in found.ids.tolist())
    rate = streams * tokens / found.seconds
    answer = Generated(
        run=str(run),
        prompt=prompt,
        texts=texts,
        tokens=tokens,
        temperature=temperature,
        seed=seed,
        tokens_per_second=rate,
        how=found.how,
    )
    rows = tuple((str(number), written) for number, written in enumerate(texts, 1))
    return Report(
        answer=answer,
        tables=(Table(columns=("stream", "text"), rows=rows),),
        notes=(f"{rate:,.0f} tokens/s {found.how}; the state is carried from the prompt on",),
    )


def encode_prompt(prompt: str, text: TextInput) -> list[int]:
    """Token ids; raises ConfigError for an empty prompt, and for a token that is not in the vocabulary."""
    from rooflight.data.text.tokens import tokenise
    from rooflight.data.text.vocabulary import RESERVED, UNKNOWN, encode

    tokens = tokenise(prompt, text.level)
    if not tokens:
        raise ConfigError(
            f"--prompt {prompt!r} is empty. Try one of the run's own words: {text.words[len(RESERVED)]!r}."
        )
    ids: list[int] = encode(tokens, text.words).tolist()
    for token, place in zip(tokens, ids, strict=True):
        if place == UNKNOWN:
            known = text.words[len(RESERVED) :]
            close = difflib.get_close_matches(token, known, n=3) or known[:8]
            raise ConfigError(
                f"--prompt: {token!r} is not among the {len(known):,} tokens that this run knows. "
                f"Try {', '.join(close)}."
            )
    return ids
