"""What a CUDA GPU runs where a CPU would run something else, on tensors that have no memory and call themselves CPU's.

Fake tensors on a "cuda" device need no GPU in forward, but autograd asks the driver for its streams in backward. So the
step runs on the CPU's, and what differs is replaced here, at the calls that a model makes: which operators autocast
keeps in float32, fused attention, fused dropout and RMS norm, cuDNN's recurrent layers.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rooflight.trace.fused import RmsNorm

aten = torch.ops.aten

# Where CUDA autocasts and the CPU does not, by the names that a model calls. Source: ATen/autocast_mode.h of torch 2.14
FLOAT32 = frozenset({
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "pow", "__pow__", "__rpow__",
    "reciprocal", "rsqrt", "sinh", "tan", "softplus", "layer_norm", "native_layer_norm", "group_norm",
    "cosine_similarity", "dist", "pdist", "renorm", "logsumexp",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
    "_upsample_bilinear2d_aa", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bicubic2d_aa",
})  # fmt: skip
FLOAT32_RESULT = frozenset({
    "cumsum", "cumprod", "sum", "norm", "linalg_vector_norm", "linalg_matrix_norm",
})  # fmt: skip
HALF = frozenset({"prelu", "mv", "addmv", "addr"})
_AUTOCAST = FLOAT32 | FLOAT32_RESULT | HALF
# And where the CPU autocasts to float32, but CUDA does not.
AS_GIVEN = frozenset({"pad", "avg_pool3d", "adaptive_avg_pool3d", "max_pool3d", "adaptive_max_pool3d", "grid_sampler"})

RNN_RELU, RNN_TANH, LSTM, GRU = 0, 1, 2, 3  # cuDNN's modes
GATES = {RNN_RELU: 1, RNN_TANH: 1, LSTM: 4, GRU: 3}


class CudaOperators(TorchFunctionMode):
    """Inside it, a model's calls become those that run on a CUDA GPU."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _REPLACED:
            return _REPLACED[name](func, *args, **kwargs)
        if name in AS_GIVEN:
            with torch.autocast("cpu", enabled=False):
                return func(*args, **kwargs)
        composed = isinstance(func, FunctionType) and func.__globals__ is F.__dict__
        if composed or func is torch.autograd.backward:
            with self:  # what it calls in turn may be replaced; backward runs checkpointed layers again
                return _unguarded(func)(*args, **kwargs)
        if name in _AUTOCAST and _autocasting():
            args, kwargs = _autocast(name, args, kwargs)
        return func(*args, **kwargs)


@lru_cache(maxsize=256)
def _unguarded(func: Any) -> Callable[..., Any]:
    """A Python function of torch that runs its body at once, where it would first ask for a mode like ours."""
    guards = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    scope = func.__globals__ | dict.fromkeys(guards, lambda *_: False)
    copy = FunctionType(func.__code__, scope, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


# ---------------------------------------------------------------- autocast


def _autocasting() -> bool:
    return torch.is_autocast_enabled("cpu")


def _autocast(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as CUDA's autocast hands them on."""
    if name in FLOAT32:
        return _cast(args, torch.float32), _cast(kwargs, torch.float32)
    if name in HALF:
        return _as_product(args), _as_product(kwargs)
    if name in FLOAT32_RESULT and _is_half(args[0] if args else kwargs.get("input")) and kwargs.get("dtype") is None:
        return args, kwargs | {"dtype": torch.float32}
    return args, kwargs


def _is_half(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Every floating-point tensor in it in that dtype; float64 stays."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype is not torch.float64 else value
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    return type(value)(_cast(item, dtype) for item in value) if type(value) in (tuple, list) else value


def _as_product(value: Any) -> Any:
    """As autocast hands operands to a matrix product."""
    return _cast(value, torch.get_autocast_dtype("cpu")) if _autocasting() else value


# ---------------------------------------------------------------- attention


def _attention(
    func: Callable[..., Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The kernel that PyTorch picks on a GPU from sm_80 on: flash, else memory-efficient, else separate products."""
    query, key, value = _as_product((query, key, value))
    size, four = query.shape[-1], query.dim() == key.dim() == value.dim() == 4
    same_batch = four and query.shape[0] == key.shape[0] == value.shape[0]
    same_heads = same_batch and query.shape[1] == key.shape[1] == value.shape[1]
    plain = attn_mask is None and _is_half(query) and size == value.shape[-1] <= 256
    out: Tensor
    if plain and (same_heads or (same_batch and enable_gqa)):
        padded = [F.pad(x, (0, -size % 8)) if size % 8 else x for x in (query, key, value)]
        out = aten._scaled_dot_product_flash_attention(*padded, dropout_p, is_causal, scale=scale or size**-0.5)[0]
        return out[..., :size] if size % 8 else out
    if same_heads and size % (8 if _is_half(query) else 4) == 0:
        bias = _bias(attn_mask, query, key)
        keep = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value, bias) if x is not None)
        arguments = (query, key, value, bias, keep, dropout_p, is_causal)
        out = aten._scaled_dot_product_efficient_attention(*arguments, scale=scale)[0]
        return out
    out = aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
    )[0]
    return out


def _bias(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """A mask as what is added to the scores, (N, heads, queries, keys) by expansion."""
    if mask is None:
        return None
    if mask.dtype is torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, float("-inf"))
    keys = key.shape[-2]
    if keys % 16:  # the kernel wants rows that are so aligned
        mask = F.pad(mask, (0, -keys % 16))[..., :keys]
    return mask.to(query.dtype).expand(*query.shape[:-1], keys)


# ---------------------------------------------------------------- other layers


def _dropout(
    func: Callable[..., Any], x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    out: Tensor = torch.native_dropout(x, p, True)[0] if training and 0 < p < 1 else func(x, p, training)
    return out


def _softmax(
    operator: Any, func: Callable[..., Any], x: Tensor, dim: int, dtype: torch.dtype | None = None, **rest: Any
) -> Tensor:
    """Autocast keeps it in float32; from float16 the kernel itself converts."""
    if dtype is None and _autocasting() and _is_half(x):
        dtype = torch.float32
    fused = x.dtype is torch.float16 and dtype is torch.float32
    out: Tensor = operator(x, dim, True) if fused else func(x, dim, dtype=dtype)
    return out


def _cross_entropy(func: Callable[..., Any], scores: Tensor, target: Tensor, *rest: Any) -> Tensor:
    """Its softmax stays in the scores' dtype under CUDA's autocast; only the loss that follows is in float32.

    rest  weight, reduction, index to ignore, label smoothing
    """
    out: Tensor
    if not _autocasting() or target.is_floating_point() or rest[3]:
        out = func(scores, target, *rest)
        return out
    logs = torch.log_softmax(scores, min(1, scores.dim() - 1), scores.dtype)
    out = torch._C._nn.nll_loss_nd(logs, target, *rest[:3])
    return out


def _rms_norm(
    func: Callable[..., Any], x: Tensor, shape: list[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    if _autocasting():
        x, weight = _cast((x, weight), torch.float32)
    out: Tensor = RmsNorm.apply(x, list(shape), weight)
    return out


def _recurrent(mode: int, func: Callable[..., Any], *args: Any) -> Any:
    """args, as torch.lstm has them: input, state, weights, biases?, layers, dropout, train, two ways?, batch first?"""
    if args[3] is not True:
        return func(*args)  # a layer without biases, or packed sequences, which have their weights there
    x, state, weights, _, layers, dropout, train, bidirectional, batch_first = args
    x, state, weights = _as_product((x, state, list(weights)))
    hidden, cell = state if mode == LSTM else (state, None)
    size = weights[0].shape[0] // GATES[mode]
    projected = hidden.shape[-1] if hidden.shape[-1] != size else 0
    each = len(weights) // (layers * (1 + bidirectional))
    found = aten._cudnn_rnn(
        *(x, weights, each, x.new_empty(0), hidden, cell, mode, size, projected, layers),
        *(batch_first, dropout, train, bidirectional, [], None),
    )
    return found[:3] if mode == LSTM else found[:2]


_REPLACED: Mapping[str, Callable[..., Any]] = {
    "scaled_dot_product_attention": _attention,
    "dropout": _dropout,
    "softmax": partial(_softmax, aten._softmax),
    "log_softmax": partial(_softmax, aten._log_softmax),
    "cross_entropy_loss": _cross_entropy,
    "rms_norm": _rms_norm,
    "lstm": partial(_recurrent, LSTM),
    "gru": partial(_recurrent, GRU),
    "rnn_tanh": partial(_recurrent, RNN_TANH),
    "rnn_relu": partial(_recurrent, RNN_RELU),
}
