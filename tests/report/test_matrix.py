"""The confusion matrix and what is told of it."""

from rooflight.report.matrix import class_table, confusion_matrix, recalls, worst_confusions
from rooflight.report.page import run_page

from .conftest import MakeResult
from .reading import read

CLASSES = ("boot", "bag", "바지")
CONFUSION = ((90, 10, 0), (5, 95, 0), (0, 40, 60))


def test_rows_are_true_and_columns_predicted() -> None:
    root = read(confusion_matrix(CLASSES, CONFUSION))
    assert [head.words() for head in root.all("thead")[0].all("th")[1:]] == list(CLASSES)
    rows = root.all("tbody")[0].all("tr")
    assert [row.all("th")[0].words() for row in rows] == list(CLASSES)
    assert [[int(cell.words()) for cell in row.all("td")] for row in rows] == [list(row) for row in CONFUSION]


def test_colour_follows_the_share() -> None:
    cells = read(confusion_matrix(CLASSES, CONFUSION)).all("td")
    assert cells[0].attributes["style"] == "--depth:90%"
    assert cells[1].attributes["style"] == "--depth:19%"  # 0.75 · 10 % / 40 %, the largest mistake
    assert cells[7].attributes["style"] == "--depth:75%"
    assert "style" not in cells[2].attributes
    assert [cells[i].attributes["class"] for i in (0, 1, 2)] == ["hit deep", "miss", "none"]


def test_a_perfect_model_divides_by_nothing() -> None:
    perfect = ((5, 0), (0, 7))
    assert read(confusion_matrix(("a", "b"), perfect)).all("td")[0].attributes["style"] == "--depth:100%"
    assert worst_confusions(("a", "b"), perfect) is None


def test_recall_and_precision() -> None:
    assert recalls(CONFUSION) == [0.9, 0.95, 0.6]
    rows = read(class_table(CLASSES, CONFUSION)).all("tbody")[0].all("tr")
    assert [row.all("th")[0].words() for row in rows] == ["바지", "boot", "bag"]
    assert [cell.words() for cell in rows[2].all("td")] == ["95.0 %", "65.5 %", "100"]  # 95 / (10 + 95 + 40)


def test_class_without_images_has_no_recall() -> None:
    empty = ((0, 0), (3, 7))
    assert recalls(empty) == [None, 0.7]
    rows = read(class_table(("none", "some"), empty)).all("tbody")[0].all("tr")
    assert [cell.words() for cell in rows[1].all("td")] == ["unknown", "0.0 %", "0"]


def test_worst_confusions_come_first() -> None:
    told = worst_confusions(CLASSES, CONFUSION, count=2)
    assert told is not None
    assert [item.words() for item in read(told).all("li")] == [
        "바지 taken for bag: 40 of 100",
        "boot taken for bag: 10 of 100",
    ]


def test_a_thousand_classes_are_not_a_carpet(make_result: MakeResult) -> None:
    count = 100
    confusion = tuple(tuple(9 if i == j else int(j == (i + 1) % count) for j in range(count)) for i in range(count))
    root = read(run_page(make_result(classes=tuple(f"class {i}" for i in range(count)), confusion=confusion)))
    assert not root.all("table", class_="matrix")
    assert "The matrix of 100 classes is left out" in root.all("section", id="classes")[0].words()
    assert "class 99" in root.all("section", id="classes")[0].words()
