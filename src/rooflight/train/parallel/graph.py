"""What a model's graph says: linear layers that tensor parallelism can split in pairs, and where a pipeline can cut."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from rooflight.core.errors import ConfigError
from rooflight.train.parallel.carry import on_meta

ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Hardswish)
ELEMENTWISE_FUNCTIONS: tuple[Any, ...] = (
    F.relu, F.relu6, F.gelu, F.silu, F.mish, F.elu, F.leaky_relu, F.hardswish, F.tanh, F.sigmoid,
    torch.relu, torch.tanh, torch.sigmoid, "relu", "tanh", "sigmoid",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two linear layers with nothing but an activation between: the first is split by columns, the second by rows."""

    first: str
    second: str
    features: int  # between the two: what is split


def linear_pairs(model: nn.Module) -> tuple[Pair, ...]:
    """The pairs of the model, by the names of their layers.

    Dropout between two layers keeps them from being a pair: each rank would draw for its own part.
    """
    traced = _trace(model, "--tensor")
    called = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    pairs: list[Pair] = []
    taken: set[str] = set()
    for node in traced.graph.nodes:
        if not _is_linear(traced, node) or node.target in taken:
            continue
        after = _only_user(node)
        while after is not None and _is_elementwise(traced, after):
            after = _only_user(after)
        if after is None or not _is_linear(traced, after):
            continue
        names = (str(node.target), str(after.target))
        if all(called.count(name) == 1 for name in names):  # a layer that is used twice would be split twice
            features = traced.get_submodule(names[0]).out_features
            assert isinstance(features, int)
            pairs.append(Pair(first=names[0], second=names[1], features=features))
            taken |= set(names)
    return tuple(pairs)


def cut(model: nn.Module, example: Tensor, count: int) -> list[fx.GraphModule]:
    """The model as `count` modules, one after another; their parameters keep the names that they have in the model.

    A cut is possible where one tensor is all that later layers read. Of those the ones are taken that come closest to
    an equal share of the forward pass's FLOPs.

    example  inputs of any number of samples, for shapes
    raises   ConfigError for a model that cannot be cut so often
    """
    traced = _trace(model, "--pipeline")
    nodes = list(traced.graph.nodes)
    if sum(node.op == "placeholder" for node in nodes) != 1:
        raise ConfigError("--pipeline needs a model of one input. Try --parallel fsdp.")
    _Costs(on_meta(traced), graph=traced.graph).run(example.to("meta"))
    ends = _ends(traced, nodes, count)
    pieces = [nodes[start:end] for start, end in zip([0, *ends], [*ends, len(nodes)], strict=True)]
    stages = [_stage(traced, piece) for piece in pieces]
    owners = [{id(parameter) for parameter in stage.parameters()} for stage in stages]
    if sum(map(len, owners)) != len(set().union(*owners)):
        raise ConfigError("--pipeline: layers of two stages share a weight. Try --parallel fsdp, or fewer stages.")
    return stages


class _Costs(fx.Interpreter):
    """Runs the graph on shapes alone, and notes each node's FLOPs and whether it gives one tensor."""

    def run_node(self, n: fx.Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = super().run_node(n)
        n.meta["flops"] = counter.get_total_flops()
        n.meta["one_tensor"] = isinstance(result, Tensor)
        return result


def _trace(model: nn.Module, flag: str) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(model)
    except Exception as error:  # whatever a forward may raise when it meets a proxy
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{flag}: the model's forward cannot be read as a graph ({reason}). Try --parallel fsdp."
        ) from None


def _ends(traced: fx.GraphModule, nodes: list[fx.Node], count: int) -> list[int]:
    """Where the first count − 1 stages end. Each stage has parameters."""
    place = {node: index for index, node in enumerate(nodes)}
    last_use = [max((place[user] for user in node.users), default=-1) for node in nodes]
    flops, parameters = [0], [0]  # before each node
    for node in nodes:
        flops.append(flops[-1] + node.meta.get("flops", 0))
        parameters.append(parameters[-1] + _parameters(traced, node))

    def possible(end: int) -> bool:
        live = [index for index in range(end) if last_use[index] >= end]
        return len(live) == 1 and bool(nodes[live[0]].meta.get("one_tensor"))

    candidates = [end for end in range(1, len(nodes)) if possible(end)]
    ends: list[int] = []
    for stage in range(1, count):
        since = parameters[ends[-1]] if ends else 0
        # A candidate for each stage that follows must be left.
        open_ = [end for end in candidates if parameters[end] > since and parameters[end] < parameters[-1]]
        distinct = sorted({parameters[end] for end in open_})
        if len(distinct) < count - stage:
            raise ConfigError(
                f"--pipeline {count}: the model can be cut into {stage + len(distinct)} stages with weights at most. "
                "Try fewer."
            )
        latest = distinct[len(distinct) - (count - stage)]
        share = flops[-1] * stage / count
        ends.append(min((end for end in open_ if parameters[end] <= latest), key=lambda end: abs(flops[end] - share)))
    return ends


def _stage(traced: fx.GraphModule, piece: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    own = set(piece)
    known: dict[fx.Node, fx.Node] = {}
    for node in piece:
        for argument in node.all_input_nodes:
            if argument not in own and argument not in known:
                known[argument] = graph.placeholder("x")
        known[node] = graph.node_copy(node, lambda argument: known[argument])
    if piece[-1].op != "output":
        graph.output(known[_passed_on(piece)])
    return fx.GraphModule(traced, graph)


def _passed_on(piece: list[fx.Node]) -> fx.Node:
    """The one node that later pieces read."""
    own = set(piece)
    return next(node for node in piece if any(user not in own for user in node.users))


def _parameters(traced: fx.GraphModule, node: fx.Node) -> int:
    if node.op == "call_module":
        return sum(parameter.numel() for parameter in traced.get_submodule(str(node.target)).parameters())
    return 0


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_linear(traced: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and type(traced.get_submodule(str(node.target))) is nn.Linear


def _is_elementwise(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), ELEMENTWISE)
    return node.op in ("call_function", "call_method") and node.target in ELEMENTWISE_FUNCTIONS
