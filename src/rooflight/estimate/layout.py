"""Where the blocks of a transformer are in a trace, and how tensor parallelism cuts its operators.

Attention marks a block. Products that leave the width of the text between blocks are columns, those that lead back to
it are rows (Megatron-LM's names for how their weights are cut); backward passes the same ones in the other order.

source  Shoeybi et al., "Megatron-LM", arXiv 1909.08053; Korthikanti et al., arXiv 2205.05198, for sequence parallelism
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from rooflight.estimate.table import Index, Mask, OpTable

NARROW = 1 / 64  # of the width: a product as narrow as an adapter's is not cut


class Role(IntEnum):
    """How the ranks of a tensor-parallel group share an operator."""

    WHOLE = 0  # every rank does all of it
    COLUMN = 1  # a product whose weight is cut by columns
    ROW = 2  # by rows: its results are added up over the ranks
    HEADS = 3  # attention, or its products: each rank has some of the heads
    INSIDE = 4  # between a column and a row product: each rank has a part of the tensor
    WEIGHT = 5  # a cast of a weight that is cut
    UPDATE = 6  # the optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The role of every operator; the last operator of each block in the forward pass, () without attention."""

    roles: Index
    ends: tuple[int, ...]

    @property
    def blocks(self) -> int:
        return len(self.ends)

    def having(self, role: Role) -> Mask:
        """Which operators have this role."""
        found: Mask = self.roles == role
        return found


def layout(table: OpTable) -> Layout:
    """The blocks of a trace, and the role of each of its operators."""
    roles = np.full(len(table), Role.WHOLE, dtype=np.int64)
    roles[table.phase("optimizer")] = Role.UPDATE
    heads = table.kind("attention") | (table.kind("matmul") & (table.batch > 1))
    weighted = table.kind("matmul") & (table.rows > 0) & (table.batch <= 1)
    forward = table.phase("forward")
    if not (heads & forward).any() or not (weighted & forward).any():
        return Layout(roles=roles, ends=())
    width = _width(table, weighted & forward, heads & forward)
    roles[heads] = Role.HEADS
    for products in (_forward_products, _backward_products):
        for index, role in products(table, heads, weighted, width):
            roles[index] = role
    ends = _ends(roles, forward)
    _fill_between(table, roles, forward)
    _fill_between(table, roles, table.phase("backward"))
    _mark_casts(table, roles)
    return Layout(roles=roles, ends=ends)


def _width(table: OpTable, weighted: Mask, heads: Mask) -> float:
    """Of the text between blocks: what the first product after an attention most often leads back to."""
    products = np.flatnonzero(weighted)
    after = np.searchsorted(products, np.flatnonzero(heads))
    found = Counter(float(table.columns[products[place]]) for place in after if place < len(products))
    return found.most_common(1)[0][0] if found else 0.0


def _forward_products(table: OpTable, heads: Mask, weighted: Mask, width: float) -> Iterator[tuple[int, Role]]:
    """A square product is a row right after attention, and a column else."""
    after_attention = False
    for index in np.flatnonzero(table.phase("forward") & (heads | weighted)):
        across, depth = table.columns[index], table.depth[index]
        if heads[index]:
            after_attention = True
        elif min(across, depth) < NARROW * width:
            continue
        elif across == width and (after_attention or depth != width):
            after_attention = False
            yield int(index), Role.ROW
        elif depth == width:
            yield int(index), Role.COLUMN


def _backward_products(table: OpTable, heads: Mask, weighted: Mask, width: float) -> Iterator[tuple[int, Role]]:
    """The gradient of a product's input tells which way the product went; that of its weight stands beside it.

    After attention come the columns that led to it, square ones too; other square products are rows.
    """
    tokens = Counter(table.rows[table.phase("forward") & weighted]).most_common(1)[0][0]
    after_attention = False
    for of_one in _gradients(table, heads, weighted):
        if heads[of_one[0]]:
            after_attention = True
            continue
        of_input = next((index for index in of_one if table.rows[index] == tokens), of_one[0])
        across, depth = table.columns[of_input], table.depth[of_input]
        if width not in (across, depth) or min(across, depth) < NARROW * width:
            continue
        leads_in = after_attention if across == depth else across == width
        after_attention = after_attention and leads_in
        for index in of_one:
            yield index, Role.COLUMN if leads_in else Role.ROW


def _gradients(table: OpTable, heads: Mask, weighted: Mask) -> Iterator[tuple[int, ...]]:
    """Backward products by the forward one they belong to: neighbours with the same three sizes, or one alone."""
    sizes = np.sort(np.stack((table.rows, table.columns, table.depth)), axis=0).T
    places = [int(index) for index in np.flatnonzero(table.phase("backward") & (heads | weighted))]
    place = 0
    while place < len(places):
        pair = places[place : place + 2]
        neighbours = len(pair) == 2 and pair[1] == pair[0] + 1
        alike = neighbours and weighted[pair].all() and (sizes[pair[0]] == sizes[pair[1]]).all()
        count = 2 if alike else 1
        yield tuple(pair[:count])
        place += count


def _ends(roles: Index, forward: Mask) -> tuple[int, ...]:
    """A block ends with the last row before the next block's attention."""
    ends: list[int] = []
    last, attended = -1, False
    for index in np.flatnonzero(forward & ((roles == Role.HEADS) | (roles == Role.ROW))):
        if roles[index] == Role.ROW:
            last = int(index)
        else:
            if attended and last > (ends[-1] if ends else -1):
                ends.append(last)
            attended = True
    return (*ends, last) if last > (ends[-1] if ends else -1) else tuple(ends)


def _fill_between(table: OpTable, roles: Index, phase: Mask) -> None:
    """What stands between two cut products works on a part alone.

    Forward a column opens the part and a row closes it, backward the other way round. The loss is of the head's
    columns.
    """
    opener, inside = Role.COLUMN, False
    for index in np.flatnonzero(phase):
        if table.phases[index] == "backward" and opener is Role.COLUMN:
            opener, inside = Role.ROW, True
        role = roles[index]
        if role == Role.WHOLE and inside and not table.rows[index]:
            roles[index] = Role.INSIDE
        elif role in (Role.COLUMN, Role.ROW):
            inside = role == opener
        elif role == Role.HEADS:
            inside = True


def _mark_casts(table: OpTable, roles: Index) -> None:
    """Under autocast every weight is copied to the products' dtype, and no operator made what is read."""
    cut = (roles == Role.COLUMN) | (roles == Role.ROW)
    sizes = set((table.columns * table.depth)[cut & table.phase("forward")])
    made = np.zeros(len(table), dtype=bool)
    made[table.read_by] = True
    for index in np.flatnonzero(table.kind("copy") & ~made):
        if table.bytes_written[index] / 2.0 in sizes:
            roles[index] = Role.WEIGHT
