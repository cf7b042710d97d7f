"""The simplest of all methods: measure a model on one card, and multiply by a ratio of the two cards.

For each row of one GPU another card's row of the same run is looked for in the file. The ratio is that of published
FLOP/s, of published bandwidth, or the one that the other models of the file had on the same two cards. They are given
a measurement that Rooflight does without.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from benchmarks.accuracy.cases import NotPredictedError
from benchmarks.accuracy.metrics import unit_kind
from benchmarks.accuracy.predict import gpu_spec
from benchmarks.accuracy.reading import precision
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.score import Outcome

FEWEST = 3  # other models that a ratio of two cards is the median of

Key = tuple[object, ...]
Pair = tuple[Key, str, str]  # the kind of run, and the names of two cards


def with_ratios(found: Sequence[tuple[Row, Outcome]]) -> list[Outcome]:
    """The outcomes, with what ratios predict beside the other methods, where the file has a second card's row."""
    rates = {index: rate for index, (row, one) in enumerate(found) if (rate := _rate(row, one)) is not None}
    runs: dict[Key, dict[str, int]] = defaultdict(dict)
    for index in rates:
        row = found[index][0]
        runs[_run(row)].setdefault(gpu_spec(row.gpu).name, index)
    seen: dict[Pair, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for cards in runs.values():
        for card, index in cards.items():
            for other, source in cards.items():
                row = found[index][0]
                if card != other:
                    seen[_kind(row), other, card][row.model].append(rates[index] / rates[source])
    outcomes = [one for _, one in found]
    for index in rates:
        row, one = found[index]
        card = gpu_spec(row.gpu).name
        sources = {other: source for other, source in runs[_run(row)].items() if other != card}
        if sources and one.predicted is not None:
            other = max(sources, key=lambda name: (len(seen[_kind(row), name, card]), name))
            rate = rates[sources[other]]
            predicted = _predicted(row, found[sources[other]][0], rate, seen[_kind(row), other, card])
            turned = {name: 1000.0 / value if unit_kind(row.metric) == "time" else value for name, value in predicted}
            outcomes[index] = replace(one, others={**one.others, **turned})
    return outcomes


def _predicted(row: Row, source: Row, rate: float, others: Mapping[str, list[float]]) -> list[tuple[str, float]]:
    """Each method's rate, by its name."""
    here, there = gpu_spec(row.gpu), gpu_spec(source.gpu)
    found = [("ratio of bandwidths", rate * here.bytes_per_second / there.bytes_per_second)]
    kept = precision(row, usual="fp32")
    dtype = "tfloat32" if kept.tf32 else kept.dtype
    flops = [spec.flops_per_second.get(dtype) or spec.flops_per_second.get("float32") for spec in (here, there)]
    if flops[0] and flops[1]:
        found.append(("ratio of FLOP/s", rate * flops[0] / flops[1]))
    ratios = [ratio for model, of_model in others.items() if model != row.model for ratio in of_model]
    if len(ratios) >= FEWEST:
        found.append(("one ratio per pair of cards", rate * median(ratios)))
    return found


def _rate(row: Row, one: Outcome) -> float | None:
    """Samples, or steps, a second; None for what is no rate or time of one GPU."""
    if row.gpus != 1 or row.value is None or one.metric != row.metric:
        return None
    try:
        gpu_spec(row.gpu)
        precision(row, usual="fp32")
    except NotPredictedError:
        return None
    match unit_kind(row.metric):
        case "rate":
            return row.value
        case "time":
            return 1000.0 / row.value
    return None


def _kind(row: Row) -> Key:
    return (row.source, row.task, row.precision, row.metric)


def _run(row: Row) -> Key:
    return (*_kind(row), row.model, row.batch, row.input_shape, row.seq_len, row.memory_format, row.compiled)
