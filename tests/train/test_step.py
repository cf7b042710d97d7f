"""A step: micro-batches add up to the batch, memory that does not suffice costs nothing but time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rooflight.core.errors import ResourceError
from rooflight.core.training import TrainConfig
from rooflight.train.fit import build_state
from rooflight.train.loss import CrossEntropy, balanced_weights
from rooflight.train.precision import autocast_of
from rooflight.train.ranks import Alone
from rooflight.train.state import TrainState
from rooflight.train.step import Step

CPU = torch.device("cpu")
LABELS = torch.tensor([0, 1, 2, 2, 2, 1, 2, 2, 0, 2])


def network(*extra: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), *extra, nn.Linear(16, 3))


def batch() -> Tensor:
    return torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(1))


def step_of(micro_batch: int | None, *, loss: CrossEntropy | None = None, clip: float = 0.0, **more: object) -> Step:
    return Step(
        loss=loss or CrossEntropy(),
        autocast=autocast_of(CPU, torch.float32),
        rate_share=lambda step: 1.0,
        ranks=Alone(),
        seed=3,
        clip=clip,
        micro_batch=micro_batch,
        **more,  # type: ignore[arg-type]
    )


def trained(state: TrainState, step: Step, steps: int = 5) -> Tensor:
    for _ in range(steps):
        step(state, batch(), LABELS, len(LABELS))
        state.advance(len(LABELS))
    return torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])


def state_of(model: nn.Module, **changed: object) -> TrainState:
    config = TrainConfig(lr=0.1, optimizer="sgd", **changed)  # type: ignore[arg-type]
    return build_state(model, config, dtype=torch.float32)


@pytest.mark.parametrize("micro_batch", [5, 3, 1], ids=lambda size: f"of {size}")  # 3 leaves a last one of 1
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_micro_batches_are_the_whole_batch(micro_batch: int, weighted: bool, clip: float) -> None:
    weights = balanced_weights(LABELS, 3) if weighted else None
    loss = CrossEntropy(class_weights=weights, smoothing=0.1)
    whole = trained(state_of(network()), step_of(None, loss=loss, clip=clip))
    parts = trained(state_of(network()), step_of(micro_batch, loss=loss, clip=clip))
    assert torch.allclose(whole, parts, atol=1e-6, rtol=0)
    assert not torch.allclose(whole, trained(state_of(network()), step_of(None, loss=loss, clip=clip), steps=4))


def test_the_loss_is_pytorchs_mean() -> None:
    weights = balanced_weights(LABELS, 3)
    for loss, theirs in (
        (CrossEntropy(smoothing=0.2), nn.CrossEntropyLoss(label_smoothing=0.2)),
        (CrossEntropy(class_weights=weights), nn.CrossEntropyLoss(weight=weights)),
    ):
        model, twin = network(), network()
        done = step_of(4, loss=loss)(state_of(model), batch(), LABELS, len(LABELS))
        assert float(done.mean) == pytest.approx(float(theirs(twin(batch()), LABELS).detach()), rel=1e-6)


def test_balanced_classes_weigh_the_same() -> None:
    weights = balanced_weights(LABELS, 3)
    shares = [float(weights[LABELS[label == LABELS]].sum()) for label in range(3)]
    assert shares == pytest.approx([len(LABELS) / 3] * 3)


class Hungry(nn.Module):
    """Memory suffices for `most` samples at once, in the forward or in the backward pass."""

    def __init__(self, most: int, error: Callable[[], BaseException], *, backward: bool) -> None:
        super().__init__()
        self.most, self.error, self.backward, self.refused = most, error, backward, 0

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.most:
            if not self.backward:
                self.refused += 1
                raise self.error()
            x.register_hook(self.refuse)
        return x

    def refuse(self, gradient: Tensor) -> None:
        self.refused += 1
        raise self.error()


def out_of_device_memory() -> BaseException:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def out_of_host_memory() -> BaseException:
    return RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("error", [out_of_device_memory, out_of_host_memory])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_out_of_memory_halves_and_repeats_the_same_step(error: Callable[[], BaseException], backward: bool) -> None:
    hungry, told = Hungry(3, error, backward=backward), []
    norm = nn.BatchNorm1d(16)
    state = state_of(network(norm, hungry))
    step = step_of(None, on_halved=told.append)
    first = step(state, batch(), LABELS, len(LABELS))
    assert told == [5, 2]
    assert step.micro_batch == 2
    # Batch norm sees micro-batches: the same as asking for 2 at once, its running statistics too.
    twin = state_of(network(nn.BatchNorm1d(16)))
    expected = step_of(2)(twin, batch(), LABELS, len(LABELS))
    assert float(first.loss) == pytest.approx(float(expected.loss), rel=1e-6)
    for own, other in zip(state.model.state_dict().values(), twin.model.state_dict().values(), strict=True):
        assert torch.allclose(own.float(), other.float(), atol=1e-6)
    assert hungry.refused == 2


def test_memory_for_not_even_one_sample_is_said() -> None:
    state = state_of(network(Hungry(0, out_of_device_memory, backward=False)))
    before = [parameter.clone() for parameter in state.model.parameters()]
    with pytest.raises(ResourceError, match=r"one sample at a time.*rooflight plan"):
        step_of(None)(state, batch(), LABELS, len(LABELS))
    assert all(torch.equal(a, b) for a, b in zip(before, state.model.parameters(), strict=True))


def test_other_errors_are_not_taken_for_memory() -> None:
    state = state_of(network(Hungry(0, lambda: RuntimeError("mat1 and mat2 cannot be multiplied"), backward=False)))
    with pytest.raises(RuntimeError, match="multiplied"):
        step_of(None)(state, batch(), LABELS, len(LABELS))


def test_dropout_follows_from_the_place_alone() -> None:
    def losses(*, disturb: bool) -> list[float]:
        state, step, found = state_of(network(nn.Dropout(0.5))), step_of(None), []
        for _ in range(3):
            if disturb:
                torch.rand(7)
            found.append(float(step(state, batch(), LABELS, len(LABELS)).loss))
            state.advance(len(LABELS))
        return found

    assert losses(disturb=False) == losses(disturb=True)


def test_the_average_follows_the_weights() -> None:
    model = network()
    state = state_of(model, ema=0.9)
    assert state.ema is not None
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    for number in range(1, 4):
        step_of(None)(state, batch(), LABELS, len(LABELS))
        state.advance(len(LABELS))
        decay = min(0.9, (1 + number) / (10 + number))
        pairs = zip(expected, model.parameters(), strict=True)
        expected = [decay * old + (1 - decay) * new.detach() for old, new in pairs]
    for average, by_hand in zip(state.ema.state().values(), expected, strict=True):
        assert torch.allclose(average, by_hand, atol=1e-6)
    own = [parameter.detach().clone() for parameter in model.parameters()]
    with state.deployed() as deployed:
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(deployed.parameters(), expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), own, strict=True))
