"""Matrix products alone: what a GPU reaches at best."""

import re
from dataclasses import replace

from benchmarks.accuracy.cases import Case, NotPredictedError, Recipe
from benchmarks.accuracy.reading import precision, setting
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.sources.general import of_precision


def is_product(model: str) -> bool:
    return bool(re.fullmatch(r"(mat-?mul|s?gemm|mm|linear)\w*", model.lower()))


def matmul(row: Row) -> Case:
    """One product M × N × K, as ml-engineering's search for the best shape prints it.

    raises  NotPredictedError where the shape is not said
    """
    if not is_product(row.model):
        raise NotPredictedError(f"no builder for {row.model}")
    sizes = [int(size) for size in re.findall(r"\d+", row.input_shape or "")]
    if len(sizes) != 3:
        raise NotPredictedError("the shape of the product is not said")
    m, n, k = sizes
    kept = precision(row, usual="bf16")
    return Case(
        row=row,
        recipe=Recipe(model=f"matmul:{n}", task="infer", dtype=kept.dtype, weights=kept.weights, input_shape=(k,)),
        batch=m,
        setting=replace(setting(row, tf32="all" if kept.tf32 else "none"), compiled=True),  # a loop issues them ahead
        change=of_precision(kept, text=False),
    )
