"""The score of predictions: rows read strictly, each source's own step, and the arithmetic of errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.accuracy.cases import NotPredictedError, Recipe, case
from benchmarks.accuracy.changes import quantized, routed, split_columns, split_rows
from benchmarks.accuracy.metrics import to_metric
from benchmarks.accuracy.predict import known_machine
from benchmarks.accuracy.ratios import with_ratios
from benchmarks.accuracy.reading import PRECISIONS, precision
from benchmarks.accuracy.rows import COLUMNS, Row, read_rows
from benchmarks.accuracy.score import Outcome, by_group, fit_score, score
from benchmarks.accuracy.traces import Traces

from rooflight.core.errors import ConfigError
from rooflight.estimate.shares import Machine, Shares
from rooflight.estimate.table import OpTable

ROW = Row(
    source="huggingface/pytorch-image-models",
    path="",
    gpu="RTX 3090",
    gpus=1,
    framework="pytorch",
    version="2.4.0",
    model="resnet50",
    task="train",
    precision="amp-fp16",
    memory_format="nhwc",
    compiled=False,
    batch=64.0,
    input_shape="3x224x224",
    seq_len=None,
    metric="samples_per_s",
    value=100.0,
    notes="",
)
OUTCOME = Outcome(
    source="a", gpu="g", gpus=1, task="train", precision="fp32", metric="ms_per_step", measured=100.0, predicted=110.0
)


# ---------------------------------------------------------------- rows


def test_a_row_is_read_as_it_was_published(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    values = [
        "s",
        "p",
        " RTX 3090 ",
        "2",
        "pytorch",
        "",
        "m",
        "infer",
        "",
        "nchw",
        "1",
        "12",
        "3x8x8",
        "",
        "ms_per_step",
        "4.5",
        "n",
    ]
    file.write_text(",".join(COLUMNS) + "\n" + ",".join(values) + "\n")
    (row,) = read_rows(file)
    assert (row.gpu, row.gpus, row.version, row.precision, row.compiled) == ("RTX 3090", 2, None, None, True)
    assert (row.batch, row.seq_len, row.value) == (12.0, None, 4.5)


def test_a_file_without_what_a_measurement_needs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("model,value\nresnet50,1\n")
    with pytest.raises(ConfigError, match="has no column gpu, metric"):
        read_rows(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rows(tmp_path / "absent.csv")


@pytest.mark.parametrize("value", ["", "fast", "nan", "inf", "0", "-3"])
def test_a_cell_without_a_number_above_zero_is_an_empty_one(tmp_path: Path, value: str) -> None:
    file = tmp_path / "truth.csv"
    file.write_text(f"gpu,model,metric,value,batch_size,n_gpus\nL4,m,ms_per_step,{value},{value},{value}\n")
    (row,) = read_rows(file)
    assert (row.value, row.batch, row.gpus, row.source) == (None, None, 1, "")


# ---------------------------------------------------------------- what a step is, by source


def test_timm_steps_an_optimizer_and_allows_tf32() -> None:
    found = case(ROW)
    assert (found.recipe.model, found.recipe.optimizer) == ("timm:resnet50", "sgd-momentum")
    assert (found.setting.tf32, found.setting.channels_last) == ("all", True)
    assert (found.recipe.dtype, found.recipe.weights) == ("float16", "float32")


def test_ryujaehun_copies_its_batch_in_half_and_steps_no_optimizer() -> None:
    row = replace(ROW, source="ryujaehun/pytorch-gpu-benchmark", precision="fp16", memory_format="nchw", gpus=2)
    found = case(row)
    assert (found.recipe.weights, found.recipe.optimizer, found.parallel) == ("float16", None, "threads")
    assert found.setting.host_input_bytes == 2 * 3 * 224 * 224 * 64


def test_ryujaehun_multiplies_in_tf32_on_an_a100_alone() -> None:
    row = replace(ROW, source="ryujaehun/pytorch-gpu-benchmark", precision="fp32")
    assert case(row).setting.tf32 == "convolutions"
    assert case(replace(row, gpu="A100-SXM4-40GB")).setting.tf32 == "all"


def test_neusight_runs_without_tf32_and_with_unfused_attention() -> None:
    row = replace(ROW, source="sitar-lab/NeuSight", model="gpt2-large", precision="fp32", seq_len=1024)
    found = case(row)
    assert (found.setting.tf32, found.recipe.fused_attention, found.recipe.input_shape) == ("none", False, (1024,))


def test_attention_is_fused_from_torch_2_on() -> None:
    assert case(ROW).recipe.fused_attention
    assert not case(replace(ROW, version="1.12")).recipe.fused_attention
    assert not case(replace(ROW, version="NGC 21.04")).recipe.fused_attention


def test_gnmt_counts_both_sides_of_a_pair() -> None:
    row = replace(ROW, source="lambdal/deeplearning-benchmark", model="gnmt-v2 (LSTM)", metric="tokens_per_s")
    assert case(row).per_sample == 50.0


def test_foundry_counts_all_gpus_and_recomputes_when_the_notes_say_so() -> None:
    row = replace(
        ROW,
        source="mosaicml/llm-foundry",
        model="mpt-7b",
        precision="bf16",
        seq_len=2048,
        gpus=8,
        metric="tokens_per_s",
        notes="act_ckpt=True mp=PURE",
    )
    found = case(row)
    assert (found.setting.recomputes, found.recipe.weights, found.parallel) == (True, "bfloat16", "sharded")
    assert to_metric(found, 2.0) == 64 * 2048 * 8 / 2.0


def test_a_model_that_nobody_builds_gives_a_reason() -> None:
    pytest.importorskip("timm")
    with pytest.raises(NotPredictedError, match="no builder for mystery-net"):
        case(replace(ROW, source="somewhere/else", model="mystery-net"))


def test_a_precision_without_a_meaning_gives_a_reason() -> None:
    with pytest.raises(NotPredictedError, match="posit16"):
        case(replace(ROW, precision="posit16"))


@pytest.mark.parametrize(
    ("written", "means"),
    [("float32", "fp32"), ("half", "fp16"), ("bf16-mixed", "ampbf16"), ("AMP", "ampfp16"), ("NVFP4", "fp4")],
)
def test_precisions_are_known_however_they_are_spelt(written: str, means: str) -> None:
    assert precision(replace(ROW, precision=written)) == PRECISIONS[means]


def test_a_machine_that_was_seen_is_known_and_another_of_the_source_has_their_middling_host() -> None:
    lab = {
        "lab/new A": Machine(host=4.0, gpu=1.1),
        "lab/old A": Machine(host=1.0, gpu=1.1),
        "shop/x A": Machine(host=9.0),
    }
    shares = Shares(values={}, intervals={}, source="", machines=lab)
    row = replace(ROW, source="lab", path="new/rows.csv")
    assert known_machine(row, "A", shares) == lab["lab/new A"]
    assert known_machine(replace(row, path="other/rows.csv"), "A", shares) == Machine(host=2.0, gpu=pytest.approx(1.1))
    assert known_machine(row, "C", shares) == Machine(host=2.0)
    assert known_machine(replace(row, source="home"), "A", shares) == Machine()


def test_a_container_s_torch_is_not_that_of_the_source_s_other_cards() -> None:
    version = "1.4 (A100: NGC 20.10)"
    row = replace(ROW, source="ryujaehun/pytorch-gpu-benchmark", model="resnet50", version=version)
    assert case(replace(row, gpu="A100-SXM4-40GB")).setting.torch_version == (1, 7)
    assert case(replace(row, gpu="TITAN Xp")).setting.torch_version == (1, 4)


def test_a_trace_that_failed_keeps_its_reason(tmp_path: Path) -> None:
    recipe = Recipe(model="zoo:nothing", task="infer", dtype="float32", weights="float32", input_shape=(3, 8, 8))
    for make in (True, False):
        with pytest.raises(NotPredictedError, match="no library for zoo:nothing"):
            Traces(tmp_path, make=make).get(recipe)


# ---------------------------------------------------------------- scores


def test_errors_are_relative_to_the_measurement() -> None:
    found = score([OUTCOME, replace(OUTCOME, predicted=80.0), replace(OUTCOME, predicted=None, reason="why")], {})
    assert (found.rows, found.predicted, found.coverage) == (3, 2, pytest.approx(2 / 3))
    assert found.median_error == pytest.approx(0.15)
    assert found.bias == pytest.approx(-0.05)
    assert found.reasons == {"why": 1}


def test_the_share_inside_counts_rows_that_have_an_interval() -> None:
    found = score([replace(OUTCOME, inside=True), replace(OUTCOME, inside=False), OUTCOME], {})
    assert found.inside == 0.5


def test_groups_are_scored_apart() -> None:
    groups = by_group([OUTCOME, replace(OUTCOME, gpu="h")], lambda one: (("gpu", one.gpu),))
    assert [(one.group["gpu"], one.rows) for one in groups] == [("g", 1), ("h", 1)]


def test_false_fits_are_counted_among_the_batches_that_failed() -> None:
    def label(ran: float, said: float) -> Outcome:
        return replace(OUTCOME, measured=ran, predicted=said, metric="fits")

    found = fit_score([label(1, 1), label(1, 0), label(0, 0), label(0, 1)], {})
    assert (found.labels, found.right, found.false_fits) == (4, 0.5, 0.5)


def test_other_methods_are_scored_on_the_rows_that_they_predict() -> None:
    found = score([replace(OUTCOME, others={"plain roofline": 50.0}), OUTCOME], {})
    assert found.others == {"plain roofline": {"rows": 1, "median_error": 0.5, "p90_error": 0.5, "ours": 0.1}}


def test_one_ratio_per_pair_of_cards_is_that_of_the_other_models() -> None:
    rates = {"RTX 3090": 100.0, "RTX 2080 Ti": 50.0}
    rows = [
        replace(ROW, gpu=gpu, model=model, value=rate * (1.2 if model == "a" and gpu == "RTX 3090" else 1.0))
        for model in "abcd"
        for gpu, rate in rates.items()
    ]
    done = [
        (row, replace(OUTCOME, gpu=row.gpu, model=row.model, metric=row.metric, measured=row.value or 0.0))
        for row in rows
    ]
    found = with_ratios(done)
    # the 3090's "a" from the 2080 Ti's 50 samples/s: the others are twice as fast there, bandwidths are 936 and 616
    assert found[0].others["one ratio per pair of cards"] == pytest.approx(100.0)
    assert found[0].others["ratio of bandwidths"] == pytest.approx(50.0 * 936 / 616)


# ---------------------------------------------------------------- what runs do otherwise than their traces


def linear_table(rows: float = 1.0) -> OpTable:
    """Two products with weights, (rows × 4) · (4 × 8) and (rows × 8) · (8 × 16), in 16 bits."""
    columns, depth = np.array([8.0, 16.0]), np.array([4.0, 8.0])
    none = np.array([], dtype=np.int64)
    return OpTable(
        samples=rows,
        names=("aten.mm.default",) * 2,
        kinds=("matmul",) * 2,
        phases=("forward",) * 2,
        dtypes=("bfloat16",) * 2,
        flops=2 * rows * columns * depth,
        bytes_read=2 * (rows * depth + columns * depth),
        bytes_written=2 * rows * columns,
        batch=np.ones(2),
        rows=np.full(2, rows),
        columns=columns,
        depth=depth,
        read_by=none,
        read_from=none,
        read_bytes=np.array([]),
    )


def test_quantised_weights_are_read_in_fewer_bytes_but_the_last() -> None:
    found = quantized(linear_table(), bits=4, product="float8")
    assert list(found.bytes_read) == [2 * 4 + 8 * 4 / 2, 2 * 8 + 2 * 16 * 8]
    assert found.dtypes == ("float8", "bfloat16")


def test_unpacked_weights_are_written_and_read_again() -> None:
    plain, found = linear_table(), quantized(linear_table(), bits=4, unpacked=True)
    assert found.bytes_written[0] == plain.bytes_written[0] + 64
    assert found.bytes_read[0] == plain.bytes_read[0] + 16


def test_split_products_add_up_to_the_whole() -> None:
    whole = linear_table(rows=8.0)
    for part in (split_columns(whole, gpus=4), split_rows(whole, gpus=4)):
        assert 4 * part.flops == pytest.approx(whole.flops)
    assert split_rows(whole, gpus=4).bytes_read[0] == 2 * (8 * 4 / 4 + 8 * 4)


def test_a_token_reads_the_experts_that_it_chose() -> None:
    table = replace(linear_table(), names=("aten._grouped_mm.default",) * 2, batch=np.full(2, 8.0))
    table = replace(table, bytes_read=np.array([1000.0, 4000.0]))
    one, many = routed(table, tokens=1, chosen=2), routed(table, tokens=1e6, chosen=2)
    assert one.batch == pytest.approx([2.0, 2.0])
    assert one.bytes_read[0] == pytest.approx(1000 - 0.75 * 8 * 8 * 4 * 2)
    assert many.bytes_read == pytest.approx(table.bytes_read)


def test_power_and_energy_are_those_of_all_gpus() -> None:
    found = replace(case(ROW), row=replace(ROW, metric="avg_power_w", gpus=4), parallel="split")
    assert to_metric(found, 2.0, watts=300.0) == 1200.0
    energy = replace(found, row=replace(ROW, metric="energy_j_per_image", gpus=4))
    assert to_metric(energy, 2.0, watts=300.0) == pytest.approx(1200.0 * 2.0 / 64)
