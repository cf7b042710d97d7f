"""A layer of an LSTM trained on a CPU: PyTorch's matrix products, and numba's pass over the gates between them.

What it saves beside nn.LSTM, with the same gradients: a batch holds far fewer different words than places, and each
word's share of the gates is one row of a small product, made once; the first step has no state to multiply; and the
backward recurrence reads the weights in the order in which MKL's product runs on all cores.
"""

import importlib.util
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PACKAGE = "numba"


def unavailable() -> str | None:
    """Why this form cannot be used here; None if it can."""
    if importlib.util.find_spec(PACKAGE) is None:
        return "numba is not installed; try: pip install 'rooflight[augment]'"
    return None


def last_state(embedding: nn.Embedding, lstm: nn.LSTM, words: Tensor) -> Tensor:
    """The state of the last layer after the last word, as `lstm(embedding(words))[0][:, -1]` gives it.

    embedding, lstm  float32 on the CPU
    words            int64 (N, T)
    returns          (N, H)
    """
    different, rows = torch.unique(words.t(), return_inverse=True)  # rows: (T, N)
    states: Tensor = _layer(lstm, 0, embedding(different), rows)
    for layer in range(1, lstm.num_layers):
        states = _layer(lstm, layer, states, None)
    return states[-1]


def _layer(lstm: nn.LSTM, layer: int, inputs: Tensor, rows: Tensor | None) -> Tensor:
    weights = [getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih", "bias_hh", "weight_hh")]
    input_weight, input_bias, state_bias, state_weight = weights
    shares = F.linear(inputs, input_weight, input_bias + state_bias)
    states: Tensor = _Recurrence.apply(shares, rows, state_weight)
    return states


class _Recurrence(torch.autograd.Function):
    """All steps of a layer from the inputs' shares of the gates: (T, N, 4·H), or one row for each row number (T, N)."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, rows: Tensor | None, weight: Tensor) -> Tensor:
        from rooflight.models.lstm_kernels import step_forward

        width, units = weight.shape
        flat = shares.reshape(-1, width).contiguous()
        steps, samples = shares.shape[:2] if rows is None else rows.shape
        places = torch.arange(steps * samples).view(steps, samples) if rows is None else rows.contiguous()
        gates = shares.new_empty(steps, samples, width)
        cells = shares.new_empty(steps + 1, samples, units)
        bent, states = (shares.new_empty(steps, samples, units) for _ in range(2))
        gates[0].zero_()  # the product of the first state, which is zero
        cells[0].zero_()
        arrays = [tensor.detach().numpy() for tensor in (gates, places, cells, bent, states)]
        for step, (gate, place, before, curved, state) in enumerate(zip(*arrays, strict=False)):
            if step:
                torch.mm(states[step - 1], weight.t(), out=gates[step])
            step_forward(gate, flat.numpy(), place, before, arrays[2][step + 1], curved, state)
        ctx.save_for_backward(gates, cells, bent, states, weight, places)
        ctx.shares_shape, ctx.has_rows = shares.shape, rows is not None
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        from rooflight.models.lstm_kernels import add_rows, step_backward

        gates, cells, bent, states, weight, places = ctx.saved_tensors
        steps, samples, units = states.shape
        # (K, N) in memory, read as (N, K): for the other order MKL takes more than twice as long at this size.
        towards_state = weight.t().contiguous().t()
        from_above = gradients[0].contiguous()
        d_gates = torch.empty_like(gates)
        d_state, d_cell = (states.new_zeros(samples, units) for _ in range(2))
        arrays = [tensor.numpy() for tensor in (gates, cells, bent, from_above, d_gates)]
        for step in reversed(range(steps)):
            gate, before, curved, above, d_gate = (array[step] for array in arrays)
            step_backward(gate, before, curved, above, d_state.numpy(), d_cell.numpy(), d_gate)
            if step:
                torch.mm(d_gates[step], towards_state, out=d_state)
        flat = d_gates.view(steps * samples, -1)
        d_weight = flat[samples:].t() @ states[:-1].reshape(-1, units)
        if not ctx.has_rows:
            return d_gates.view(ctx.shares_shape), None, d_weight
        d_shares = states.new_zeros(ctx.shares_shape)
        add_rows(flat.numpy(), places.view(-1).numpy(), d_shares.numpy())
        return d_shares, None, d_weight
