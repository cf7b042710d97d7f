"""A run that goes on from a state is the run that was not stopped, to the bit."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rooflight.core.errors import DataError
from rooflight.core.training import TrainConfig
from rooflight.train.fit import Fit, Hooks, build_state, fit
from rooflight.train.state import TrainState
from tests.train.test_fit import Stripes

CONFIG = TrainConfig(
    epochs=4, batch=16, lr=0.01, ema=0.9, clip=1.0, label_smoothing=0.1, checkpoint_every=1, validation=0.2, patience=2
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * 36, 2)
    )


def run(config: TrainConfig, hooks: Hooks, resume: Any = None) -> tuple[dict[str, Tensor], Fit]:
    data, model = Stripes(), network()
    held = data.epoch(0)
    done = fit(
        model,
        data,
        held,
        config,
        dtype=torch.float32,
        classes=2,
        validation=held[:1] if config.patience else None,
        hooks=hooks,
        resume=resume,
    )
    return dict(model.state_dict()), done


def copied(state: TrainState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """As a file would hold it."""
    return {name: value.clone() for name, value in state.tensors().items()}, json.loads(json.dumps(state.document()))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_step_is_a_place_to_go_on_from(optimizer: str) -> None:
    config = replace(CONFIG, optimizer=optimizer)
    saved: list[Any] = []
    last: list[Any] = []

    def keep(state: TrainState) -> None:
        saved.append(copied(state))
        last[:] = [state]

    weights, whole = run(config, Hooks(on_save=keep))
    final = copied(last[0])
    assert len(saved) == 16
    for place in (saved[0], saved[3], saved[5], saved[11]):
        again, resumed = run(config, Hooks(on_save=keep), resume=place)
        assert all(torch.equal(again[name], value) for name, value in weights.items())
        assert copied(last[0])[0].keys() == final[0].keys()
        assert all(torch.equal(value, final[0][name]) for name, value in copied(last[0])[0].items())
        assert [strip(row) for row in resumed.records] == [strip(row) for row in whole.records]
        assert resumed.evaluation == whole.evaluation


def strip(record: Any) -> Any:
    return replace(record, seconds=0.0, samples_per_second=0.0)


def test_a_state_of_another_model_is_refused() -> None:
    state = build_state(network(), CONFIG, dtype=torch.float32)
    tensors, document = copied(state)
    other = build_state(nn.Linear(2, 2), CONFIG, dtype=torch.float32)
    with pytest.raises(DataError, match="not of this run"):
        other.load(tensors, document)


def test_patience_stops_and_keeps_the_best() -> None:
    epochs: list[float] = []

    def worse(record: Any) -> None:
        epochs.append(record.validation_loss)

    config = replace(CONFIG, epochs=30, lr=1.0, ema=0.0, schedule="constant", optimizer="sgd", momentum=0.0)
    _, done = run(config, Hooks(on_epoch=worse))
    assert len(epochs) < 30
    best = min(range(len(epochs)), key=epochs.__getitem__)
    assert len(epochs) - 1 - best == config.patience
    assert done.evaluation.loss == pytest.approx(done.records[best].test_loss)
