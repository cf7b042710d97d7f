"""Classes, changes and sentences of a profile, by hand."""

from dataclasses import replace

import pytest

from rooflight.core.errors import SpecError
from rooflight.core.profiles import Change, OperatorShare, StepProfile
from rooflight.core.training import TrainConfig
from rooflight.core.types import Environment, Estimate, GpuSpec, Op, Phase, Trace, Workload
from rooflight.flows.profile import best_first
from rooflight.flows.profile_changes import Timing, changes
from rooflight.flows.profile_parts import kind_of, operator_shares
from rooflight.flows.profile_sentences import change_sentence, limit_of, sentences

CONFIG = TrainConfig(batch=64, dtype="float32", device="cpu")
WORKLOAD = Workload(
    model="one", task="train", batch=64, input_shape=(1,), dtype="float32", optimizer="adam", channels_last=True
)
# 1 GFLOP/s and 1 MB/s: a GFLOP or a megabyte takes a second.
ROOF = GpuSpec(
    name="round figures",
    memory_bytes=2**30,
    bytes_per_second=1e6,
    flops_per_second={"float32": 1e9, "bfloat16": 2e9},
    source="by hand",
)


def op(name: str, kind: str, phase: Phase, flops: float, moved: float) -> Op:
    return Op(
        name=name,
        kind=kind,
        phase=phase,
        flops=int(flops),
        bytes_read=int(moved),
        bytes_written=0,
        dtype="float32",
    )


OPS = (
    op("aten.convolution.default", "convolution", "forward", 1e6, 10),
    op("aten.relu.default", "elementwise", "forward", 10, 200),
    op("aten.convolution_backward.default", "convolution", "backward", 3e6, 10),
    op("aten._fused_adam.default", "optimizer", "optimizer", 10, 500),
)
TRACE = Trace(workload=WORKLOAD, parameters=1, parameter_bytes=4, flops=4, bytes=4, peak_bytes=4, ops=OPS, lifetimes=())


def test_operators_stand_beside_the_least_time_of_their_class() -> None:
    seconds_of = {
        "aten::conv2d": 0.003,
        "aten::convolution_backward": 0.005,
        "aten::relu": 0.0001,
        "Optimizer.step": 0.001,
        "aten::something_new": 0.0004,
    }
    shares = {part.name: part for part in operator_shares(seconds_of, 0.016, TRACE, ROOF)}
    assert next(iter(shares)) == "convolution"
    # 4 MFLOP at 1 GFLOP/s take 4 ms, measured were 8.
    assert shares["convolution"].roof_share == pytest.approx(0.5)
    assert (shares["convolution"].share, shares["convolution"].bound_by) == (pytest.approx(0.5), "compute")
    # 500 B at 1 MB/s take 0.5 ms, measured was 1.
    assert (shares["optimizer"].roof_share, shares["optimizer"].bound_by) == (pytest.approx(0.5), "memory")
    assert shares["ReLU"].roof_share == pytest.approx(2.0)
    assert (shares["something new"].roof_share, shares["something new"].bound_by) == (None, None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::linear", "matmul"),
        ("aten::addmm", "matmul"),
        ("aten::scaled_dot_product_attention", "attention"),
        ("aten::_cudnn_rnn_backward", "recurrent"),
        ("aten::mkldnn_max_pool2d", "pool"),
        ("aten::to", "copy"),
        ("aten::topk", "other"),
        ("aten::relu", "other"),
    ],
)
def test_the_profilers_names_have_a_traces_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def part(name: str, seconds: float, whole: float, bound_by: str | None, roof_share: float | None) -> OperatorShare:
    return OperatorShare(
        name=name,
        seconds=seconds,
        share=seconds / whole,
        bound_by=bound_by,  # type: ignore[arg-type]
        roof_share=roof_share,
    )


def profile(**changed: object) -> StepProfile:
    operators = (part("convolution", 0.0061, 0.01, "compute", 0.43), part("batch norm", 0.001, 0.01, "memory", 0.8))
    made = StepProfile(
        model="one",
        device="AMD EPYC",
        dtype="float32",
        batch=64,
        steps=20,
        samples_per_second=6400,
        step_seconds=0.008,
        data_seconds=0.002,
        launch_seconds=0.0009,
        operators=operators,
        limited_by="compute",
        mfu=0.3,
        memory_share=0.2,
        predicted_step_seconds=0.007,
        changes=(),
        sentences=(),
        roof="by hand",
        environment=Environment(
            device="AMD EPYC",
            system="Linux",
            python="3.11",
            packages={},
            threads=2,
            settings=(),
            commit=None,
            date="2026-11-24",
        ),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_profile_says_where_a_step_goes() -> None:
    told = sentences(profile())
    assert told[0] == (
        "A step of 64 samples takes 10.0 ms, and most of it goes to arithmetic: 20 % waiting for data, 9 % launch, "
        "71 % operators."
    )
    assert told[1].startswith("Waiting for data takes 20 %")
    assert told[2].startswith("In 9 % no operator runs")
    assert told[3] == "convolution takes 61 % of a step and runs at 43 % of what AMD EPYC allows in float32."
    assert told[4] == "batch norm takes 10 % of a step and runs at 80 % of what the memory of AMD EPYC allows."
    assert told[5] == "No setting of train is predicted to make it 5 % faster."


def test_a_part_that_is_small_is_not_told_of() -> None:
    told = sentences(profile(data_seconds=0.0001, launch_seconds=0.0001))
    assert not any("Waiting" in line or "no operator" in line for line in told)


def test_most_of_a_step_is_its_limit() -> None:
    operators = profile().operators
    assert limit_of(0.002, 0.001, operators) == "compute"
    assert limit_of(0.02, 0.001, operators) == "data"
    assert limit_of(0.002, 0.01, operators) == "launch"
    assert limit_of(0.002, 0.001, operators[1:]) == "data"
    assert limit_of(0.0005, 0.0005, operators[1:]) == "memory"


def test_a_change_says_what_is_predicted_and_what_was_tried() -> None:
    change = Change(name="bfloat16", flags="--dtype bfloat16", predicted_gain=1.61, measured_gain=1.5)
    assert change_sentence(change) == (
        "bfloat16 (--dtype bfloat16) would give 1.61× samples/s (predicted); tried: 1.50×."
    )
    vain = replace(change, measured_gain=0.73)
    assert change_sentence(vain).endswith("tried: 0.73×, so it is not worth it here.")
    bound = Change(name="4 workers", flags="--workers 4", predicted_gain=1.4, at_most=True)
    assert change_sentence(bound) == "4 workers (--workers 4) would give up to 1.40× samples/s (predicted)."


# ---------------------------------------------------------------- changes


def predict(config: TrainConfig) -> Estimate:
    """A step takes 1 ms, and 0.1 ms a sample, half of that in bfloat16; more than 128 samples do not fit."""
    each = 5e-5 if config.dtype == "bfloat16" else 1e-4
    seconds = 1e-3 + config.batch * each
    return Estimate(
        gpu="by hand",
        fits=config.batch <= 128,
        peak_bytes=1,
        step_seconds=seconds,
        samples_per_second=config.batch / seconds,
        low=1,
        high=1,
        bound_by="compute",
        mfu=None,
    )


def found(
    timing: Timing, *, config: TrainConfig = CONFIG, workers: int | None = None, dtypes: tuple[str, ...] = ()
) -> dict[str, Change]:
    trials = changes(config, timing, predict(config), predict, dtypes=dtypes, device="cpu", workers=workers, cores=8)
    return {trial.change.flags: trial.change for trial in trials}


# A step of 64 is predicted to take 7.4 ms, and takes twice as long.
STEP = Timing(step_seconds=0.0148, data_seconds=0.0, launch_seconds=0.0, batch=64)


def test_a_dtype_gains_what_the_estimate_says_of_the_step() -> None:
    gains = found(STEP, dtypes=("float32", "bfloat16"))
    assert gains["--dtype bfloat16"].predicted_gain == pytest.approx(7.4 / 4.2)
    waiting = found(replace(STEP, data_seconds=0.0148), dtypes=("float32", "bfloat16"))
    assert waiting["--dtype bfloat16"].predicted_gain == pytest.approx(2 / (1 + 4.2 / 7.4))
    assert "--dtype bfloat16" not in found(STEP)  # this device would emulate it


def test_a_larger_batch_is_suggested_as_far_as_it_fits() -> None:
    gains = found(STEP)
    assert set(gains) == {"--batch 128"}  # 256 do not fit
    assert gains["--batch 128"].predicted_gain == pytest.approx(2 * 7.4 / 13.8)


def test_what_gains_less_than_a_twentieth_is_left_out() -> None:
    assert found(replace(STEP, batch=128), config=replace(CONFIG, batch=128)) == {}


def test_a_starved_step_is_offered_workers_and_memory() -> None:
    starved = replace(STEP, data_seconds=0.0148)
    gains = found(starved, workers=2)
    for flags in ("--workers 8", "--storage memory"):
        assert gains[flags].predicted_gain == pytest.approx(2.0)
        assert gains[flags].at_most
    assert "--workers 8" not in found(starved, workers=8)
    assert "--augment 0" in found(starved)
    assert "--augment 0" not in found(starved, config=replace(CONFIG, augment=0.0))


def test_what_has_no_rate_is_no_suggestion() -> None:
    def refuse(config: TrainConfig) -> Estimate:
        if config.dtype == "bfloat16":
            raise SpecError("no rate for bfloat16")
        return predict(config)

    trials = changes(CONFIG, STEP, refuse(CONFIG), refuse, dtypes=("bfloat16",), device="cpu", workers=None, cores=2)
    assert [trial.change.flags for trial in trials] == ["--batch 128"]


def test_the_host_is_taken_out_by_graphs_on_a_gpu_and_perhaps_by_compiling_on_a_cpu() -> None:
    idle = replace(STEP, launch_seconds=0.0074)
    on_cpu = changes(CONFIG, idle, predict(CONFIG), predict, dtypes=(), device="cpu", workers=None, cores=2)
    assert ("--compile on", None) in [(trial.change.flags, trial.change.predicted_gain) for trial in on_cpu]
    on_gpu = changes(CONFIG, idle, predict(CONFIG), predict, dtypes=(), device="cuda", workers=None, cores=2)
    assert on_gpu[0].change.flags == "--compile graphs"
    assert on_gpu[0].change.predicted_gain == pytest.approx(2.0)


def test_what_was_tried_counts_more_than_what_was_predicted() -> None:
    changes = [
        Change(name="a", flags="", predicted_gain=2.0, measured_gain=1.1),
        Change(name="b", flags="", predicted_gain=1.5),
        Change(name="c", flags="", predicted_gain=None),
    ]
    assert [change.name for change in best_first(changes)] == ["b", "a", "c"]
