"""From the seconds of a step, and its draw, to the unit that a row counts in."""

import re
from collections.abc import Mapping

from benchmarks.accuracy.cases import Case, NotPredictedError

# What a table of measurements may count, in small letters and without marks, as the metric's name begins or ends.
COUNTED = (
    r"(samples?|images?|img|imgs|tokens?|tok|sequences?|seqs?|sentences?|items?|videos?|requests?|examples?|frames?)"
)
RATE = re.compile(rf"({COUNTED}_?(per_?|/)_?s(ec(ond)?)?(_per_gpu)?|throughput\w*|qps|fps|it(ems)?_per_s(ec)?)$")
MILLISECONDS = re.compile(r"(ms_per_(step|batch|iter|iteration|sample)|(step_time|latency|time)_?ms|ms|itl_ms)$")
SECONDS = re.compile(r"(s_per_(step|batch|it|iter|iteration|sample)|seconds_per_\w+|(step_time|latency|time)_s)$")
JOULES = re.compile(rf"(energy_j|joules|j)_per_{COUNTED}$")
WATTS = re.compile(r"(avg_|mean_)?power_w(atts)?$|watts$")


def to_metric(case: Case, seconds: float, *, watts: float | None = None, flops: float | None = None) -> float:
    """The figure in the row's metric.

    seconds  of a step on all of the case's GPUs
    watts    mean draw of one GPU; needed by power and energy
    flops    of one GPU's products in the step; needed by FLOP/s and MFU
    raises   NotPredictedError for a metric without a rule, or one that needs what is not known
    """
    metric = case.row.metric.lower()
    samples = case.batch * case.per_sample * (1 if case.parallel == "split" else case.row.gpus)
    if MILLISECONDS.fullmatch(metric):
        return 1000.0 * seconds * case.repeats / (samples if metric.endswith("_sample") else 1.0)
    if SECONDS.fullmatch(metric):
        return seconds * case.repeats / (samples if metric.endswith("_sample") else 1.0)
    if RATE.fullmatch(metric):
        return samples / (seconds * case.repeats)
    if metric in ("mfu", "tflops", "tflops_per_gpu"):
        return _of_peak(case, seconds, samples, flops, metric)
    if WATTS.fullmatch(metric) or JOULES.fullmatch(metric):
        if watts is None:
            raise NotPredictedError("the GPU's power is not published")
        whole = watts * case.row.gpus
        return whole if WATTS.fullmatch(metric) else whole * seconds * case.repeats / samples
    raise NotPredictedError(f"metric {case.row.metric} is not predicted")


def unit_kind(metric: str) -> str:
    """ "rate", "time", "power", "energy", "memory", "fits" or "other", for the groups of a score."""
    name = metric.lower()
    if RATE.fullmatch(name) or name in ("mfu", "tflops", "tflops_per_gpu"):
        return "rate"
    if MILLISECONDS.fullmatch(name) or SECONDS.fullmatch(name):
        return "time"
    if WATTS.fullmatch(name):
        return "power"
    if JOULES.fullmatch(name):
        return "energy"
    return "memory" if "memory" in name else "fits" if name == "fits" else "other"


def _of_peak(case: Case, seconds: float, samples: float, flops: float | None, metric: str) -> float:
    """TFLOP/s of one GPU, or percent of its dense peak.

    MFU is counted as llm-foundry does, 6 FLOPs per parameter and token and those of attention, where the row says the
    parameters, else by the products of the trace.
    source  llm-foundry scripts/train/benchmarking/README.md: 6·parameters·tokens + 12·layers·width·T per token
    """
    from benchmarks.accuracy.predict import gpu_spec

    name = case.recipe.model.removeprefix("gpt:")
    parameters = re.search(r"params=(\d+)", case.row.notes)
    shapes = _shapes()
    if parameters and name in shapes:
        layers, width = shapes[name]
        per_token = 6.0 * int(parameters[1]) + 12.0 * layers * width * case.recipe.input_shape[0]
        rate = per_token * samples / seconds / case.row.gpus
    elif flops is not None:
        rate = flops / seconds
    else:
        raise NotPredictedError("the FLOPs of the step are not known")
    if metric != "mfu":
        return rate / 1e12
    rates = gpu_spec(case.row.gpu).flops_per_second
    peak = rates.get(case.recipe.dtype) or rates.get("float16") or rates.get("float32")
    if not peak:
        raise NotPredictedError("the peak of the GPU is not published")
    return 100.0 * rate / peak


def _shapes() -> Mapping[str, tuple[int, int]]:
    from benchmarks.accuracy.zoo.gpt import SHAPES

    return {name: (shape.layers, shape.width) for name, shape in SHAPES.items()}
