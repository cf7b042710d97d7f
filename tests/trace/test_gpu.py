"""The operators of a CUDA GPU: against torch's own dispatcher on tensors that call themselves a GPU's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from rooflight.core.types import Op, Workload
from rooflight.trace.inputs import tokens
from rooflight.trace.shapes import Shapes
from rooflight.trace.tracer import trace

INFER = Workload(model="layers", task="infer", batch=4, input_shape=(16, 8, 8), dtype="float16")


class Layers(nn.Module):
    """One of every kind that autocast treats in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.batch_norm, self.prelu = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.PReLU()
        self.group_norm, self.linear = nn.GroupNorm(4, 16), nn.Linear(64, 64)
        self.layer_norm, self.rms_norm = nn.LayerNorm(64), nn.RMSNorm(64)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(self.prelu(self.batch_norm(self.conv(x))), scale_factor=2, mode="bilinear")
        x = F.max_pool2d(F.silu(self.group_norm(x)), 2)
        x = self.conv(F.pad(self.conv(x), (1, 1, 1, 1), mode="reflect"))[..., 1:-1, 1:-1]
        x = F.max_pool3d(F.avg_pool3d(x.unsqueeze(1), 3, 1, 1), 3, 1, 1).squeeze(1).flatten(2)
        x = F.gelu(self.linear(self.layer_norm(x)))
        x = F.softmax(torch.einsum("nck,nmk->ncm", x, x), dim=-1) @ x
        x = F.normalize(self.linear(x), dim=-1) + self.linear(x).sum(-1, keepdim=True)
        x = self.linear(self.rms_norm(x)).pow(2) + torch.exp(self.linear(x)).cumsum(-1)
        return F.cross_entropy(self.linear(x).mean(1), x.argmax(-1)[:, 0])


class Log(TorchDispatchMode):
    """Names of the operators that make something new."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple) else result
        if isinstance(first, Tensor) and not func.is_view:
            self.names.append(str(func))
        return result


@contextmanager
def cuda_autocast(dtype: torch.dtype) -> Iterator[None]:
    """What torch.autocast sets; it refuses to where there is no GPU."""
    torch.set_autocast_dtype("cuda", dtype)
    torch.set_autocast_enabled("cuda", True)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


HANDED_OUT = {"aten.empty.memory_format", "aten._unsafe_view.default"}
OTHER_NAMES = {
    "aten.cudnn_batch_norm.default": "aten.native_batch_norm.default",
    "aten._fused_rms_norm.default": "rooflight.fused_rms_norm.default",
}


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch has no CUDA dispatch to compare with")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_operators_under_autocast_are_those_that_torch_dispatches_for_cuda(dtype: str) -> None:
    # Forward alone: backward asks the driver.
    with torch.no_grad(), Shapes(allow_non_fake_inputs=True), torch.device("cuda"):
        model, x = Layers().eval(), torch.empty(4, 16, 8, 8)
        with cuda_autocast(getattr(torch, dtype)), Log() as log:
            model(x)
    expected = [OTHER_NAMES.get(name, name) for name in log.names if name not in HANDED_OUT]
    assert [op.name for op in trace(Layers, replace(INFER, dtype=dtype)).ops] == expected


class Attention(nn.Module):
    """Four heads of 16 or another size, with a mask or without."""

    def __init__(self, size: int = 16, mask: str = "none", dropout: float = 0.0) -> None:
        super().__init__()
        self.size, self.mask, self.dropout = size, mask, dropout
        self.project = nn.Linear(32, 3 * 4 * size)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 4, self.size)).permute(2, 0, 3, 1, 4)
        mask = None
        if self.mask != "none":
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool if self.mask == "bool" else x.dtype)
        out: Tensor = F.scaled_dot_product_attention(q, k, v, mask, self.dropout, is_causal=self.mask == "none")
        return out.sum((1, 2, 3)).unsqueeze(-1)


def attention(model: Attention, **changes: Any) -> list[Op]:
    workload = replace(INFER, task="train", optimizer="sgd", input_shape=(24, 32), **changes)
    return [op for op in trace(model, workload).ops if op.kind == "attention"]


FLASH = [
    "aten._scaled_dot_product_flash_attention.default",
    "aten._scaled_dot_product_flash_attention_backward.default",
]
EFFICIENT = [name.replace("flash", "efficient") for name in FLASH]


@pytest.mark.parametrize(
    ("model", "dtype", "names"),
    [
        (Attention(), "bfloat16", FLASH),
        (Attention(dropout=0.1), "float16", FLASH),
        (Attention(size=12), "bfloat16", FLASH),  # padded to 16
        (Attention(), "float32", EFFICIENT),  # flash attention has half precision alone
        (Attention(mask="bool"), "bfloat16", EFFICIENT),  # and takes no mask
        (Attention(mask="float"), "float32", EFFICIENT),
        (Attention(size=10), "float32", []),  # rows that are not aligned: separate products
    ],
)
def test_attention_is_the_kernel_that_torch_picks(model: Attention, dtype: str, names: list[str]) -> None:
    found = attention(model, dtype=dtype)
    assert [op.name for op in found] == names
    padded = -(-model.size // 8) * 8 if names == FLASH else model.size
    product = 2 * 4 * 4 * 24 * 24 * padded
    assert [op.flops for op in found] == [2 * product, 5 * product][: len(names)]
    assert all(op.product == (4 * 4, 24, 24, padded) for op in found)
    assert all(op.dtype == dtype for op in found)


class GroupedQueries(Attention):
    """Four heads of queries, two of keys and values."""

    def __init__(self, enable_gqa: bool) -> None:
        super().__init__()
        self.enable_gqa = enable_gqa

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 4, self.size)).permute(2, 0, 3, 1, 4)
        k, v = (k[:, :2], v[:, :2]) if self.enable_gqa else (k[:, :1], v[:, :1])
        out: Tensor = F.scaled_dot_product_attention(q, k, v, enable_gqa=self.enable_gqa)
        return out.sum((1, 2, 3)).unsqueeze(-1)


def test_fewer_heads_of_keys_are_fused_if_the_model_says_so() -> None:
    assert [op.name for op in attention(GroupedQueries(True), dtype="bfloat16")] == FLASH
    assert attention(GroupedQueries(False), dtype="bfloat16") == []  # one head, broadcast: separate products


class Words(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], **settings: Any) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(100, 8), kind(8, 16, **settings)
        self.out = nn.Linear(16 * (1 + self.rnn.bidirectional), 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.rnn(self.embed(x))[0][:, -1])
        return out


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_are_one_operator_of_cudnn(kind: type[nn.RNNBase], gates: int) -> None:
    workload = replace(INFER, task="train", optimizer="sgd", input_shape=(5,))
    found = trace(lambda: Words(kind, batch_first=True, num_layers=2, bidirectional=True), workload, make_input=tokens)
    layers = [op for op in found.ops if op.kind == "recurrent"]
    assert [op.name for op in layers] == ["aten._cudnn_rnn.default", "aten._cudnn_rnn_backward.default"]
    # two directions; the second layer reads both of the first's
    weights = 2 * gates * 16 * (8 + 16) + 2 * gates * 16 * (2 * 16 + 16)
    assert [op.flops for op in layers] == [2 * 4 * 5 * weights, 2 * 2 * 4 * 5 * weights]
    assert all(op.product == (5 * 2 * 2, 4, gates * 16, 16) and op.dtype == "float16" for op in layers)
    assert all(op.costed for op in found.ops)
    # what backward reads: the gates and the cells of every step, in half precision
    assert 4 * 5 * 2 * 2 * (gates * 16 + 16) * 2 in [life.bytes for life in found.lifetimes]


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.linear, self.drop = nn.RMSNorm(32), nn.Linear(32, 8), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.drop(self.linear(self.first(x)))
        return out


def test_rms_norm_and_dropout_are_one_operator_each_way() -> None:
    found = trace(Norms, replace(INFER, task="train", optimizer="sgd", input_shape=(32,)))
    names = [op.name for op in found.ops]
    for name in ("rooflight.fused_rms_norm", "aten.native_dropout"):
        assert names.count(f"{name}.default") == names.count(f"{name}_backward.default") == 1
    assert sum(life.bytes for life in found.lifetimes if life.role == "gradient") == 4 * (32 + 32 * 8 + 8)


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: models.resnet18(), 64),
    "vgg11": (lambda: models.vgg11(), 64),
    "swin_t": (lambda: models.swin_t(), 64),
    "vit_b_16": (lambda: models.vit_b_16(image_size=64), 64),
}


@pytest.mark.parametrize("name", MODELS)
def test_flops_of_whole_models_are_those_of_torch(name: str) -> None:
    build, size = MODELS[name]
    workload = replace(INFER, task="train", optimizer="sgd", batch=2, input_shape=(3, size, size), dtype="float32")
    found = trace(build, workload)
    with torch.device("meta"):
        model, x = build(), torch.empty(2, 3, size, size)
    with FlopCounterMode(display=False) as reference, sdpa_kernel(SDPBackend.MATH):
        model(x).sum().backward()
    products = [op for op in found.ops if op.product]
    # fused attention keeps no scores: backward makes them once more
    again = [2 * prod(op.product) for op in products if op.product and op.name == EFFICIENT[1]]
    assert sum(op.flops for op in products) == reference.get_total_flops() + sum(again)
    assert all(op.costed for op in found.ops)
