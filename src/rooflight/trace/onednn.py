"""What oneDNN takes of PyTorch's allocator on a CPU: copies in its own layouts inside an operator, what it keeps.

Found by watching the allocator while single operators ran (torch 2.14, AVX-512), and checked on whole models by
`benchmarks/memory_cpu.py`. A GPU's libraries do otherwise: estimate/footprint.py.
"""

from math import ceil

import torch
from torch import Tensor
from torch._prims_common import suggest_memory_format

from rooflight.trace.call import Call

LANES = 16  # channels of a block
PLAIN_CHANNELS = 3  # a first layer's picture is read as it is
PAGE = 4096
GATES = 4  # of an LSTM, the only recurrent layer that PyTorch gives to oneDNN


def scratch_bytes(call: Call) -> int:
    """Bytes that an operator has at its peak beyond its inputs and results; 0 for what oneDNN does not do."""
    match call.func._schema.name:
        case "aten::convolution":
            return 0 if call["transposed"] else _convolution(call["input"], call["weight"], call.result)
        case "aten::convolution_backward":
            return 0 if call["transposed"] else _convolution_backward(call)
        case "aten::mkldnn_rnn_layer":
            return _rnn(call["input"], call["weight0"])
        case "aten::mkldnn_rnn_layer_backward":
            return _rnn_backward(call)
    return 0


def _convolution(x: Tensor, weight: Tensor, out: Tensor) -> int:
    """The input, weight and output in blocks of channels; once they are done with, the output in both layouts."""
    if _channels_last(x, weight):
        return _size(weight)
    blocked = _blocked(out)
    return max(_input(x) + _blocked(weight) + blocked, blocked + _size(out)) - _size(out)


def _convolution_backward(call: Call) -> int:
    grad, x, weight = call["grad_output"], call["input"], call["weight"]
    of_input, of_weight, _ = call["output_mask"]
    if _channels_last(x, weight):
        return (2 if of_weight else 1) * _size(weight) + _sums(call)
    both = _blocked(grad) + _input(x)
    if of_weight:  # the input's gradient is there by then; the weight's own is the block that becomes the result
        return both + _blocked(weight) - _size(weight) + _sums(call)
    return max(both + _blocked(weight), _blocked(x) + _size(x)) - _size(x) if of_input else 0


def _sums(call: Call) -> int:
    """A half-precision weight gradient is summed in float32; 1 × 1 kernels need no room for it."""
    weight = call["weight"]
    wide = call["output_mask"][1] and weight.element_size() < 4 and max(weight.shape[2:]) > 1
    return 4 * weight.numel() if wide else 0


def _channels_last(*found: Tensor) -> bool:
    formats = (torch.channels_last, torch.channels_last_3d)
    return any(tensor.dim() in (4, 5) and suggest_memory_format(tensor) in formats for tensor in found)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _blocked(tensor: Tensor) -> int:
    """With its channels, or a weight's filters, filled up to whole blocks."""
    channels = tensor.shape[1] if tensor.shape[0] == 1 or tensor.dim() < 3 else max(tensor.shape[:2])
    return _size(tensor) * _up(channels, LANES) // max(1, channels)


def _input(x: Tensor) -> int:
    return 0 if x.shape[1] <= PLAIN_CHANNELS else _size(x) * _up(x.shape[1], LANES) // x.shape[1]


# ---------------------------------------------------------------- recurrent: one direction of one layer at a time


def rnn_workspace_bytes(call: Call) -> int:
    """What a layer keeps for backward: gates, states, and room for their gradients.

    source  oneDNN, src/cpu/rnn/rnn_utils.cpp: rows are padded to a cache line, and by one more where a row is a
            multiple of 256 elements; each part starts on a page
    """
    if not call["train"]:
        return 0
    x, size = call["input"], call["hidden_size"]  # (T, N, features), whatever the module's own order
    steps, batch = x.shape[:2]
    item, widest, gates = x.element_size(), max(x.shape[-1], size), call["weight0"].shape[0]
    each = (
        steps * batch * _row(gates, item) * item,
        steps * batch * _row(size, item) * item,
        *[(steps + 1) * batch * _row(widest, item) * item] * 4,
        *[(steps + 1) * batch * _row(widest, 4) * 4] * 2,
        *[(steps + 1) * batch * size * 4] * 4,
    )
    return _up(sum(each), PAGE)


def _rnn(x: Tensor, weight: Tensor) -> int:
    """The weights in the layout of its products; the gates, in float32 those of every step."""
    gates, size = weight.shape[0], weight.shape[0] // GATES
    item = x.element_size()
    weights = (x.shape[-1] + size) * (_row(gates, item) if item == 4 else gates) * item
    rows = x.shape[0] * x.shape[1] if item == 4 else x.shape[1]
    return weights + rows * _row(gates, 4) * 4


def _rnn_backward(call: Call) -> int:
    """Forward's, and the incoming gradients as they are needed: from bfloat16, once more in float32."""
    x: Tensor = call["input"]
    weight: Tensor = call["weight1"]
    size: int = call["hidden_size"]
    incoming = (x.shape[0] + 2) * x.shape[1] * size
    forward = _rnn(x, weight)
    if x.element_size() == 4:
        return forward + 4 * incoming
    weights = (x.shape[-1] + size) * _row(weight.shape[0], 4) * 4  # their gradients are summed in float32
    return forward + (2 + 4) * incoming + weights


def _row(elements: int, item: int) -> int:
    line = 64 // item
    whole = _up(elements, line)
    return whole + line if whole % 256 == 0 else whole


def _up(count: int, unit: int) -> int:
    return ceil(count / unit) * unit
