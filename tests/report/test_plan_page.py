"""A plan's page: parses, fetches nothing, shows every GPU, and its filters and pictures are of the plan's figures."""

import re
from dataclasses import replace

from rooflight.core.parallel import Parallel
from rooflight.core.plans import LeftOut, Plan, TraceSummary
from rooflight.core.types import Estimate, GpuSpec, Vendor, Workload
from rooflight.report.axes import log_ticks
from rooflight.report.plan_page import plan_page
from rooflight.report.plan_style import SHOWN
from rooflight.report.roofline_chart import Roof
from rooflight.report.scatter import Point, frontier

from .reading import read

VENDORS: dict[str, Vendor] = {"Large <1>": "nvidia", "Middle": "amd", "Small": "intel"}
SPECS = {
    name: GpuSpec(
        name=name,
        memory_bytes=gib * 2**30,
        bytes_per_second=rate,
        flops_per_second={"bfloat16": 1e14},
        vendor=VENDORS[name],
        architecture=f"{name} core",
        source="round numbers",
    )
    for name, gib, rate in (
        ("Large <1>", 80, 2e12),
        ("Middle", 24, 1e12),
        ("Small", 2, 2e11),
    )
}


def estimate(name: str, rate: float, *, fits: bool = True, usd: float | None = 1.0) -> Estimate:
    return Estimate(
        gpu=name,
        fits=fits,
        peak_bytes=3 * 2**30,
        step_seconds=64 / rate,
        samples_per_second=rate,
        low=rate * 0.8,
        high=rate * 1.2,
        bound_by="memory",
        mfu=0.25,
        watts=200.0,
        joules_per_sample=200.0 / rate,
        usd_per_hour=usd,
        price=None if usd is None else "a cloud, 2026-11-01",
        usd_per_million_samples=None if usd is None else usd / 3600 / rate * 1e6,
    )


PLAN = Plan(
    workload=Workload(model="net", task="train", batch=64, input_shape=(3, 8, 8), dtype="bfloat16"),
    trace=TraceSummary(flops=10**12, bytes=10**10, parameters=1000, parameter_bytes=4000),
    estimates=(
        estimate("Large <1>", 2000, usd=4.0),
        estimate("Middle", 1000),
        estimate("this CPU", 10, usd=None),
        estimate("Small", 100, fits=False),
    ),
    left_out=(LeftOut(reason="no bfloat16", gpus=("Old", "Older")),),
    assumptions=("the sun rises",),
)


def test_fetches_nothing_and_runs_no_script() -> None:
    page = plan_page(PLAN, SPECS, ("It is <b>fast</b>.",))
    for element in read(page).every():
        assert element.name not in {"script", "img", "iframe", "link", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in element.attributes)
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_gpu_has_its_row_and_what_it_needs_of_what_it_has() -> None:
    rows = read(plan_page(PLAN, SPECS)).all("section", id="gpus")[0].all("tbody")[0].all("tr")
    words = [row.words() for row in rows]
    assert [row.attributes["class"] for row in rows] == ["nvidia fits", "amd fits", "other fits", "intel unfit"]
    assert "Large <1>" in words[0]
    assert "3.00 GiB of 80.0 GiB" in words[0]
    assert "1,600 to 2,400" in words[0]
    assert "25 %" in words[1]
    assert "no" in words[3]


def test_a_box_for_each_class_that_is_there_and_a_rule_that_reads_it() -> None:
    page = plan_page(PLAN, SPECS)
    boxes = {element.attributes["id"] for element in read(page).all("input")}
    assert boxes == {f"show-{key}" for key in ("fits", "unfit", "nvidia", "amd", "intel", "other")}
    for key in SHOWN:
        assert f"#show-{key}:not(:checked)" in page


def test_at_a_glance_names_the_best_that_fit() -> None:
    words = read(plan_page(PLAN, SPECS)).all("section", id="figures")[0].words()
    for told in ("2,000", "Large <1>", "3 of 4", "Middle, a cloud, 2026-11-01"):
        assert told in words


def test_points_are_what_fits_and_has_a_price() -> None:
    section = read(plan_page(PLAN, SPECS)).all("section", id="compare")[0]
    price, power = section.all("svg")
    assert [len(picture.all("circle")) for picture in (price, power)] == [2, 3]
    assert "bound by memory" in price.all("circle")[0].words()


def test_a_plan_that_fits_nowhere_says_what_it_needs() -> None:
    nowhere = replace(PLAN, estimates=tuple(replace(row, fits=False) for row in PLAN.estimates))
    page = read(plan_page(nowhere, SPECS))
    assert "3.00 GiB" in page.all("section", id="figures")[0].words()
    assert not page.all("section", id="compare")
    assert not page.all("section", id="roofline")


def test_what_was_assumed_and_left_out_is_said() -> None:
    words = read(plan_page(PLAN, SPECS)).all("section", id="assumed")[0].words()
    assert "the sun rises" in words
    assert "no bfloat16: Old, Older" in words


def test_roofline_of_the_catalogues_gpus_that_fit() -> None:
    section = read(plan_page(PLAN, SPECS)).all("section", id="roofline")[0]
    legend = section.all("ul")[0].words()
    assert "Large <1>" in legend
    assert "Small" not in legend
    # 10¹² FLOPs over 64 / 2000 s are 31.3 TFLOP/s; 100 FLOPs per byte at 2 TB/s would be 200, the peak is 100.
    assert "31.2 TFLOP/s, 31 % of what arithmetic allows" in legend


def test_a_point_under_a_roof_is_of_one_gpu() -> None:
    form = Parallel(tensor=2, pipeline=4, micro_batches=4)
    shared = replace(PLAN, workload=replace(PLAN.workload, parallel=form))
    legend = read(plan_page(shared, SPECS)).all("section", id="roofline")[0].all("ul")[0].words()
    assert "15.6 TFLOP/s, 16 % of what arithmetic allows" in legend  # four micro-batches of an eighth of the step each


def test_a_roof_is_the_lower_of_its_two_ceilings() -> None:
    roof = Roof(name="a", flops_per_second=100.0, bytes_per_second=10.0, reached=5.0)
    assert (roof.at(1.0), roof.ridge, roof.at(roof.ridge), roof.at(1000.0)) == (10.0, 10.0, 100.0, 100.0)


def test_frontier_is_those_that_none_beats_in_both() -> None:
    def point(name: str, x: float, y: float) -> Point:
        return Point(name=name, x=x, y=y, style="", tale="")

    points = [
        point("dear", 4, 9),
        point("worse", 3, 2),
        point("cheap", 1, 3),
        point("same price", 1, 2),
        point("top", 5, 9),
    ]
    assert [found.name for found in frontier(points)] == ["cheap", "dear"]


def test_ticks_are_round_and_few() -> None:
    assert log_ticks(0.0, 3.0) == [1, 10, 100, 1000]
    assert log_ticks(2.0, 2.9) == [100, 200, 300, 400, 500, 600, 700]
    assert 4 <= len(log_ticks(-3.0, 9.0)) <= 8
