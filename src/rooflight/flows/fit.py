"""`rooflight.fit`: a model and data that are already there in Python, trained by the same loop as every other."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.training import TrainConfig
from rooflight.flows.family import Family, Found, Reads, handed_over
from rooflight.flows.train import train
from rooflight.flows.train_own import as_seen, check, prepare

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.data.arrays import ArraySet

NAME = "model"  # of what has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model and what its training found. The model that was handed over has the trained weights."""

    result: TrainResult
    network: nn.Module  # gives scores, or values
    dtype: str  # of the samples
    run: Path | None  # the run folder, where one was asked for

    @property
    def accuracy(self) -> float | None:
        """On the held-out samples; None without classes."""
        return self.result.evaluation.accuracy

    @property
    def loss(self) -> float:
        """On the held-out samples."""
        return self.result.evaluation.loss

    @property
    def records(self) -> tuple[EpochRecord, ...]:
        """One for each epoch."""
        return self.result.epochs

    def predict(self, x: Any, *, batch: int = 256) -> Tensor:
        """Probabilities (N, K), or values (N, …), of samples like those it was trained on."""
        import torch

        from rooflight.data.arrays import as_samples

        samples = as_samples(x, self.dtype)  # type: ignore[arg-type]
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            found = torch.cat([self.network.eval()(some.to(device)).float().cpu() for some in samples.split(batch)])
        return found if self.accuracy is None else found.softmax(1)


def fit(
    model: Any,
    data: Any,
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    console: Console | None = None,
    **settings: Any,
) -> Fitted:
    """Train a PyTorch or Keras model in place.

    data      (x, y) arrays or tensors, of which a fifth is held out; ((x, y), (x_test, y_test)); a Dataset, or two of
              them; or the path of an .npz file. Integer y are labels, floating-point y values to come near to
    config    or its fields by name: epochs=5, lr=1e-3, …
    out       the run folder; None: nothing is kept but what is returned
    loss      of (outputs, targets); default: cross entropy of labels, squared error of values
    raises    ConfigError, DataError, ShapeError in one sentence
    """
    config = replace(config or TrainConfig(), **settings, model=NAME, data=NAME, shift=0, augment=0.0)
    samples, network, write_back, family = _family(model, data, loss, config)
    with tempfile.TemporaryDirectory(prefix="rooflight-") as scratch, handed_over(family):
        run = Path(out) if out is not None else Path(scratch) / "run"
        result = train(config, out=run, console=console or Silent(), compare=False).answer
    assert isinstance(result, TrainResult)
    write_back()
    return Fitted(
        result=result,
        network=network[0],
        dtype=str(samples.train_x.dtype).removeprefix("torch."),
        run=Path(out) if out is not None else None,
    )


def _family(
    model: Any, data: Any, loss: Any, config: TrainConfig
) -> tuple[ArraySet, list[nn.Module], Callable[[], None], Family]:
    """The data, the place of the network that is trained, what gives its weights back, and the family of the two."""
    from torch import nn

    from rooflight.models import of_keras
    from rooflight.models.own import of_module

    if not isinstance(model, nn.Module):
        raise ConfigError(f"fit trains a torch.nn.Module or a keras.Model; this is {type(model).__name__}.")
    write_back: Callable[[], None] = lambda: None  # noqa: E731
    note, inner = "", model
    if of_keras.is_keras(model):
        inner, write_back, note = of_keras.network(model, images=False)
    own = replace(of_module(model, NAME), make=lambda classes, images: (inner, note), loss=loss)
    dtype: Literal["float32", "int64"] = own.input_dtype if own.keras else _dtype_of(data)
    own = replace(own, input_dtype=dtype)
    samples = _samples(data, dtype, config.seed)
    trained: list[nn.Module] = []

    def find(config: TrainConfig, console: Console) -> Found:
        return check(own, samples, (), images=False)

    def build(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
        if not fresh:
            return copy.deepcopy(as_seen(inner, reads, NAME))
        trained[:] = [as_seen(inner, reads, NAME)]
        return trained[0]

    return samples, trained, write_back, Family(find=find, prepare=prepare, build=build)


def _samples(data: Any, dtype: Any, seed: int) -> ArraySet:
    """What `fit` was given, as arrays."""
    from rooflight.data.arrays import array_set, read_arrays

    if isinstance(data, str | Path):
        return read_arrays(Path(data), dtype)
    train, test = _pairs(data)
    return array_set(train, test, dtype=dtype, name=NAME, source="handed over in Python", seed=seed)


def _pairs(data: Any) -> tuple[tuple[Any, Any], tuple[Any, Any] | None]:
    two = isinstance(data, tuple | list) and len(data) == 2
    if two and all(isinstance(part, tuple | list) and len(part) == 2 for part in data):
        return tuple(data[0]), tuple(data[1])
    if two and all(_is_dataset(part) for part in data):
        return _stacked(data[0]), _stacked(data[1])
    if two:
        return (data[0], data[1]), None
    if _is_dataset(data):
        return _stacked(data), None
    raise ConfigError(
        f"fit takes (x, y), ((x, y), (x_test, y_test)), a Dataset or an .npz file; this is {type(data).__name__}."
    )


def _is_dataset(data: Any) -> bool:
    from torch.utils.data import DataLoader, Dataset

    return isinstance(data, Dataset | DataLoader)


def _stacked(data: Any) -> tuple[Tensor, Tensor]:
    """All samples of a Dataset in memory, each read once."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    loader = DataLoader(data, batch_size=256) if isinstance(data, Dataset) else data
    parts: Sequence[Any] = list(loader)
    if not parts or not isinstance(parts[0], tuple | list) or len(parts[0]) != 2:
        raise ConfigError("a Dataset for fit gives (sample, target) pairs.")
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def _dtype_of(data: Any) -> Literal["float32", "int64"]:
    """Whole numbers of 32 bits and more are token ids; all else is numbers."""
    import torch

    if isinstance(data, str | Path):
        return "float32"
    x = _pairs(data)[0][0]
    kind = str(x.dtype if hasattr(x, "dtype") else torch.as_tensor(x).dtype).removeprefix("torch.")
    return "int64" if kind in ("int32", "int64") else "float32"
