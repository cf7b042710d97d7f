"""The score of predictions: rows read strictly, each source's own step, and the arithmetic of errors."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.accuracy.cases import NotPredictedError, Recipe, case
from benchmarks.accuracy.predict import known_machine, to_metric
from benchmarks.accuracy.rows import COLUMNS, Row, read_rows
from benchmarks.accuracy.score import Outcome, by_group, fit_score, score
from benchmarks.accuracy.traces import Traces

from rooflight.core.errors import ConfigError
from rooflight.estimate.shares import Machine, Shares

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


def test_a_file_without_a_column_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text("model,value\nresnet50,1\n")
    with pytest.raises(ConfigError, match="has no column source_repo"):
        read_rows(file)


def test_a_row_without_a_number_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "truth.csv"
    file.write_text(",".join(COLUMNS) + "\n" + ",".join(["1"] * 15 + ["fast", ""]) + "\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_rows(file)


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


def test_a_precision_that_is_not_traced_gives_a_reason() -> None:
    with pytest.raises(NotPredictedError, match="mxfp4"):
        case(replace(ROW, precision="mxfp4"))


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
    assert found.others == {"plain roofline": {"rows": 1, "median_error": 0.5, "p90_error": 0.5}}
