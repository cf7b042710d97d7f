"""Rules of the operators that move data and compute nothing: copies, fills, gathers. The overwritten is not read."""

from collections.abc import Mapping

from torch import Tensor

from rooflight.trace.call import Call, Cost, Rule, tensor_bytes


def _copy(*unread: str) -> Rule:
    def rule(call: Call) -> Cost:
        return Cost("copy", 0, unread=unread)

    return rule


def _all(names: str, *unread: str) -> dict[str, Rule]:
    """One rule for every name."""
    return dict.fromkeys(names.split(), _copy(*unread))


def _gather(table: str) -> Rule:
    """Only the rows asked for are read from the table, as many as are written."""

    def rule(call: Call) -> Cost:
        return Cost("copy", 0, sparse=table)

    return rule


def _scatter(source: str, *, adds: bool = False) -> Rule:
    """The source goes to some places of a table: in place these alone are written, else a copy is made of the table."""

    def rule(call: Call) -> Cost:
        adding = adds or bool(call.arguments.get("accumulate"))
        moved = call.arguments.get(source)
        flops = moved.numel() if adding and isinstance(moved, Tensor) and moved.is_floating_point() else 0
        if not call.func._schema.is_mutable:
            return Cost("copy", flops)
        places = tensor_bytes(moved if isinstance(moved, Tensor) else call["index"])
        if adding:
            return Cost("copy", flops, sparse="self", written=places)
        return Cost("copy", 0, unread=("self",), written=places)

    return rule


MOVES: Mapping[str, Rule] = {
    # copies
    **_all("clone _to_copy cat stack constant_pad_nd repeat repeat_interleave flip roll tril triu pixel_shuffle"),
    **_all("pixel_unshuffle channel_shuffle im2col col2im diag_embed diagonal_copy unfold_copy view_as_complex_copy"),
    **{f"{kind}_pad{n}d": _copy() for kind in ("reflection", "replication") for n in (1, 2, 3)},
    **{f"{kind}_pad{n}d_backward": _copy("self") for kind in ("reflection", "replication") for n in (1, 2, 3)},
    **_all("slice_scatter select_scatter index_fill as_strided_scatter diagonal_scatter unfold_backward"),
    # fills
    **_all("copy fill zero normal uniform random", "self"),
    **_all("zeros ones full arange linspace eye scalar_tensor rand randn randint randperm tril_indices triu_indices"),
    **_all("zeros_like ones_like full_like rand_like randn_like randint_like new_zeros new_ones new_full", "self"),
    **_all("select_backward slice_backward diagonal_backward"),
    # tables
    "embedding": _gather("weight"),
    "embedding_dense_backward": _copy(),
    **dict.fromkeys(("index_select", "gather", "index", "_unsafe_index", "take"), _gather("self")),
    "index_put": _scatter("values"),
    "_unsafe_index_put": _scatter("values"),
    "_index_put_impl": _scatter("values"),
    "index_copy": _scatter("source"),
    "index_add": _scatter("source", adds=True),
    "scatter": _scatter("src"),
    "scatter_add": _scatter("src", adds=True),
    "scatter_reduce": _scatter("src", adds=True),
    "masked_scatter": _scatter("source"),
}
