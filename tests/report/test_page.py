"""The whole page: parses, fetches nothing, says the run's figures, and lets no text become markup."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from rooflight.core.runs import Artifact, Prediction
from rooflight.report.page import run_page

from .conftest import MakeResult
from .reading import read

HOSTILE = ("<script>alert(1)</script>", "\" onmouseover='x' ", "</style><img src=http://evil/x>")


def test_says_the_runs_figures(make_result: MakeResult) -> None:
    words = read(run_page(make_result())).all("section", id="figures")[0].words()
    for figure in (
        "81.7 %",
        "test loss 0.3",
        "245 of 300",
        "5,312 samples/s",
        "24.1 ms",
        "bfloat16",
        "a CPU of 2 cores",
        "93.3 K",
    ):
        assert figure in words
    assert "600 + 300" in words
    assert "abababababab" in words
    assert "the processor multiplies it in hardware" in words


def test_interval_is_wilsons(make_result: MakeResult) -> None:
    # 245 of 300, z² / n = 0.0128: centre (0.8167 + 0.0064) / 1.0128 = 0.8127,
    # half 1.96 / 1.0128 · sqrt(0.8167 · 0.1833 / 300 + 0.0128 / 1200) = 0.0437
    words = read(run_page(make_result())).all("section", id="figures")[0].words()
    assert "95 % interval 76.9 % to 85.6 %" in words.replace("\xa0", " ")


def test_fetches_nothing(make_result: MakeResult, artifact: Artifact, prediction: Prediction) -> None:
    page = run_page(make_result(), artifacts=(artifact,), predictions=(prediction,))
    for element in read(page).every():
        assert element.name not in {"script", "img", "iframe", "link", "object", "embed", "base", "form"}
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "action", "xlink:href"}
            if name == "href":
                assert (value or "").startswith("#")
    assert not re.search(r"url\(|@import|https?://", page)
    policy = read(page).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]
    assert (policy.attributes["content"] or "").startswith("default-src 'none'")


def test_hostile_names_stay_text(make_result: MakeResult, artifact: Artifact, prediction: Prediction) -> None:
    result = make_result(classes=HOSTILE)
    result = replace(
        result, run="runs/<b>x</b>", reasons=HOSTILE, device=HOSTILE[0], data=replace(result.data, name=HOSTILE[2])
    )
    page = run_page(
        result,
        artifacts=(replace(artifact, path=HOSTILE[0], checked_with=HOSTILE[1]),),
        predictions=(replace(prediction, input=HOSTILE[2], label=HOSTILE[0], top=((HOSTILE[1], 0.1),)),),
    )
    root = read(page)
    names = {element.name for element in root.every()}
    assert not names & {"script", "img"}
    assert not any(name.startswith("on") for element in root.every() for name in element.attributes)
    rows = root.all("table", class_="matrix")[0].all("tbody")[0].all("th")
    assert [row.text for row in rows] == list(HOSTILE)


def test_landmarks_headings_and_anchors(make_result: MakeResult, artifact: Artifact) -> None:
    root = read(run_page(make_result(), artifacts=(artifact,)))
    for landmark in ("header", "nav", "main", "footer", "h1", "title"):
        assert len([e for e in root.every() if e.name == landmark]) >= 1
    ids = [element.attributes["id"] for element in root.every() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for link in root.all("a"):
        assert (link.attributes["href"] or "").removeprefix("#") in ids
    for section in root.all("section"):
        assert section.attributes["aria-labelledby"] in ids
    for box in root.all("div", class_="scroll"):
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["aria-label"]
    assert root.all("html")[0].attributes["lang"] == "en"


def test_every_table_has_a_caption_and_scoped_heads(
    make_result: MakeResult, artifact: Artifact, prediction: Prediction
) -> None:
    tables = read(run_page(make_result(), artifacts=(artifact,), predictions=(prediction,))).all("table")
    assert len(tables) == 7
    for table in tables:
        assert table.all("caption")[0].words()
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.all("th"))
        width = len(table.all("thead")[0].all("th"))
        assert all(len(row.children) == width for row in table.all("tbody")[0].all("tr"))


def test_predicted_beside_measured(make_result: MakeResult) -> None:
    words = read(run_page(make_result())).all("section", id="predicted")[0].words()
    assert "throughput5,720 samples/s5,312 samples/s+7.7 %" in words.replace("> ", "")


def test_parity_says_yes_and_no(make_result: MakeResult, artifact: Artifact) -> None:
    section = read(run_page(make_result(), artifacts=(artifact,))).all("section", id="exports")[0]
    assert [cell.words() for cell in section.all("tbody")[0].all("span")] == ["✓ yes", "✗ no"]
    assert "✗ differs" in section.all("h3")[0].words()
    assert "2.4e-07" in section.words()
    assert "image (N, 1, 28, 28)" in section.words()
    assert not read(run_page(make_result())).all("section", id="exports")


def test_predictions_name_the_other_candidates(make_result: MakeResult, prediction: Prediction) -> None:
    words = read(run_page(make_result(), predictions=(prediction,))).all("section", id="verdicts")[0].words()
    assert "가방.png" in words
    assert "boot 5.0 %" in words
    assert "bag 94.3 %" not in words


def test_configuration_marks_what_was_set(make_result: MakeResult) -> None:
    rows = read(run_page(make_result(epochs=3))).all("section", id="configuration")[0].all("tbody")[0].all("tr")
    marked = [row.all("th")[0].words() for row in rows if row.all("span", class_="badge")]
    assert marked == ["epochs"]


def test_not_finite_is_said_and_not_drawn(make_result: MakeResult) -> None:
    page = run_page(make_result(losses=(1.0, float("nan"), float("inf"))))
    assert not re.search(r"\b(nan|inf)\b", page, re.IGNORECASE)
    assert read(page).words().count("not finite") == 2


def test_run_without_epochs_still_makes_a_page(make_result: MakeResult) -> None:
    root = read(run_page(replace(make_result(), epochs=())))
    assert not root.all("section", id="curves")
    assert root.all("section", id="figures")


@pytest.mark.parametrize("query", ["prefers-color-scheme: dark", "max-width: 44rem", "@media print"])
def test_style_serves_dark_phone_and_paper(make_result: MakeResult, query: str) -> None:
    assert query in run_page(make_result())


def test_report_needs_no_third_party_package() -> None:
    code = (
        "import sys, rooflight.report.page\n"
        "outside = {name.split('.')[0] for name in sys.modules} & {'torch', 'numpy', 'onnx', 'rich', 'jinja2'}\n"
        "sys.exit(f'imported {outside}' if outside else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
