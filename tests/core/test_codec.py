"""Dataclasses to JSON and back."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.runs import Checkpoint, Preprocessing
from rooflight.core.training import TrainConfig
from rooflight.core.types import GpuSpec, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    rates: dict[str, float] = field(default_factory=dict)
    pair: tuple[int, str] = (1, "a")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    kind: Literal["a", "b"]
    inner: Inner
    many: tuple[Inner, ...] = ()
    maybe: float | None = None


CHECKPOINT = Checkpoint(
    weights="epoch-0001.safetensors",
    weights_sha256="0" * 64,
    config=TrainConfig(),
    classes=("가방", "Coat"),
    preprocessing=Preprocessing(channels=1, height=28, width=28, mean=(0.5,), std=(0.25,)),
    epoch=1,
    parameters=93_322,
)


@pytest.mark.parametrize(
    "value",
    [
        CHECKPOINT,
        TrainConfig(epochs=3, flip=True),
        GpuSpec(name="x", memory_bytes=1, bytes_per_second=2.0, flops_per_second={"float32": 3.0}, source="test"),
        Measurement(name="x", unit="s", median=1.0, low=0.5, high=1.5, n=9),
        Outer(kind="a", inner=Inner(rates={"x": 1.0}), many=(Inner(), Inner(pair=(2, "b"))), maybe=None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_round_trip(value: object) -> None:
    assert from_json(type(value), to_json(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(), st.none() | st.floats(0, 1))
def test_any_number_and_text_survives(number: float, text: str, maybe: float | None) -> None:
    value = Outer(kind="b", inner=Inner(rates={text: number}, pair=(7, text)), maybe=maybe)
    assert from_json(Outer, to_json(value)) == value


def test_korean_is_written_as_it_is() -> None:
    assert "가방" in to_json(CHECKPOINT)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(Inner(rates={"x": float("nan")}))


def test_a_value_without_a_place_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        to_json({"x": object()})


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ('{"epohcs": 3}', r"no key 'epohcs'. Did you mean 'epochs'"),
        ('{"epochs": "3"}', r"epochs is '3'; it must be of type int"),
        ('{"epochs": true}', r"epochs is True; it must be of type int"),
        ('{"schedule": "linear"}', r"schedule is 'linear'"),
        ('{"flip": "yes"}', r"flip is 'yes'; it must be of type bool"),
        ("[]", r"must be of type dict"),
        ("{", r"is not JSON"),
        ('{"epochs": 0}', r"--epochs 0: it must be 1 or more"),
        ('{"lr": -1}', r"--lr -1"),
        ('{"augment": 1.5}', r"--augment 1.5: it is a share"),
    ],
)
def test_a_wrong_document_is_one_sentence_that_names_the_key(document: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        from_json(TrainConfig, document, what="run.json")


def test_a_missing_key_is_named() -> None:
    plain = json.loads(to_json(CHECKPOINT))
    del plain["epoch"]
    with pytest.raises(ConfigError, match="lacks the key 'epoch'"):
        from_json(Checkpoint, json.dumps(plain))
