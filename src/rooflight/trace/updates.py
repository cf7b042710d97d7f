"""Rules of the fused optimizers: one operator updates every parameter."""

from collections.abc import Callable, Mapping

from rooflight.trace.call import Call, Cost, Rule
from rooflight.trace.costs import adam_flops


def _update(flops_each: Callable[[Call], int]) -> Rule:
    def rule(call: Call) -> Cost:
        flops = flops_each(call) * sum(tensor.numel() for tensor in call["self"])
        # The schema lets the gradients be unscaled in place; without a scale they are only read.
        return Cost("optimizer", flops, unwritten=() if call["grad_scale"] is not None else ("grads",))

    return rule


def _adam(call: Call) -> int:
    return adam_flops(bool(call["weight_decay"]))


def _sgd(call: Call) -> int:
    """p ← p − lr·g is 2; a momentum buffer and weight decay add 2 each."""
    return 2 + 2 * bool(call["momentum"]) + 2 * bool(call["weight_decay"])


def _adam_8bit(call: Call) -> Cost:
    """As Adam, and each moment is scaled both ways."""
    return Cost("optimizer", call["self"].numel() * (_adam(call) + 4))


UPDATES: Mapping[str, Rule] = {
    "_fused_adam": _update(_adam),
    "_fused_adamw": _update(_adam),
    "_fused_sgd": _update(_sgd),
    "adam8bit": _adam_8bit,
}
