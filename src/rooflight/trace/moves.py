"""Rules of the operators that move data and compute nothing: copies, fills, gathers. The overwritten is not read."""

from collections.abc import Mapping

from rooflight.trace.call import Call, Cost, Rule


def _copy(*unread: str) -> Rule:
    def rule(call: Call) -> Cost:
        return Cost("copy", 0, unread=unread)

    return rule


def _gather(table: str) -> Rule:
    """Only the rows asked for are read from the table, as many as are written."""

    def rule(call: Call) -> Cost:
        return Cost("copy", 0, sparse=table)

    return rule


MOVES: Mapping[str, Rule] = {
    **dict.fromkeys(("clone", "_to_copy", "cat", "stack", "constant_pad_nd", "repeat", "flip"), _copy()),
    **dict.fromkeys(("copy", "fill", "zero", "normal", "uniform", "random"), _copy("self")),
    **dict.fromkeys(("zeros", "ones", "full", "arange", "scalar_tensor", "rand", "randn"), _copy()),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros"), _copy("self")),
    **dict.fromkeys(("new_ones", "new_full", "select_backward", "slice_backward"), _copy("self")),
    "embedding": _gather("weight"),
    "index_select": _gather("self"),
    "gather": _gather("self"),
    "index": _gather("self"),
    "embedding_dense_backward": _copy(),
}
