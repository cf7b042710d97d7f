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
    states: Tensor = embedding(different)
    for layer in range(lstm.num_layers):
        top = layer + 1 == lstm.num_layers
        states = _layer(lstm, layer, states, rows if layer == 0 else None, last_only=top)
    return states


def _layer(lstm: nn.LSTM, layer: int, inputs: Tensor, rows: Tensor | None, *, last_only: bool) -> Tensor:
    weights = [getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih", "bias_hh", "weight_hh")]
    input_weight, input_bias, state_bias, state_weight = weights
    shares = F.linear(inputs, input_weight, input_bias + state_bias)
    states: Tensor = _Recurrence.apply(shares, rows, state_weight, last_only)
    return states


class _Recurrence(torch.autograd.Function):
    """All steps of a layer from the inputs' shares of the gates: (T, N, 4·H), or one row for each row number (T, N).

    returns  the states (T, N, H), or the last one (N, H)
    """

    @staticmethod
    def forward(ctx: Any, shares: Tensor, rows: Tensor | None, weight: Tensor, last_only: bool) -> Tensor:
        from rooflight.models.lstm_kernels import step_forward

        width, units = weight.shape
        steps, samples = shares.shape[:2] if rows is None else rows.shape
        places = torch.arange(steps * samples).view(steps, samples) if rows is None else rows.contiguous()
        flat = shares.detach().reshape(-1, width).contiguous().numpy()
        gates = shares.new_empty(steps, samples, width)
        cells = shares.new_empty(steps + 1, samples, units)
        bent, states = (shares.new_empty(steps, samples, units) for _ in range(2))
        gates[0].zero_()  # the product of the first state, which is zero
        cells[0].zero_()
        gate, place, cell, curved, state = (tensor.numpy() for tensor in (gates, places, cells, bent, states))
        for step in range(steps):
            if step:
                torch.mm(states[step - 1], weight.t(), out=gates[step])
            step_forward(gate[step], flat, place[step], cell[step], cell[step + 1], curved[step], state[step])
        ctx.save_for_backward(weight, places)
        ctx.kept = gates, cells, bent, states
        ctx.shares_shape, ctx.has_rows, ctx.last_only = shares.shape, rows is not None, last_only
        return states[-1].clone() if last_only else states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        from rooflight.models.lstm_kernels import add_rows, step_backward

        weight, places = ctx.saved_tensors
        if ctx.kept is None:
            raise RuntimeError("this step's gradients were taken already; its gates have become them")
        gates, cells, bent, states = ctx.kept
        ctx.kept = None
        steps, samples, units = states.shape
        # (K, N) in memory, read as (N, K): for the other order MKL takes more than twice as long at this size.
        towards_state = weight.t().contiguous().t()
        d_state, d_cell = (states.new_zeros(samples, units) for _ in range(2))
        gate, cell, curved = (tensor.numpy() for tensor in (gates, cells, bent))
        for step in reversed(range(steps)):
            if not ctx.last_only:
                d_state += gradients[0][step]
            elif step == steps - 1:
                d_state += gradients[0]
            step_backward(gate[step], cell[step], curved[step], d_state.numpy(), d_cell.numpy())
            if step:
                torch.mm(gates[step], towards_state, out=d_state)
        flat = gates.view(steps * samples, -1)
        d_weight = flat[samples:].t() @ states[:-1].reshape(-1, units)
        if not ctx.has_rows:
            return gates.view(ctx.shares_shape), None, d_weight, None
        d_shares = states.new_zeros(ctx.shares_shape)
        add_rows(flat.numpy(), places.view(-1).numpy(), d_shares.numpy())
        return d_shares, None, d_weight, None
