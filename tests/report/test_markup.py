"""Elements: what is escaped, what is left out."""

from rooflight.report.markup import Markup, join, tag

from .reading import read


def test_text_and_attributes_are_escaped() -> None:
    element = read(tag("p", "<b>&", title="\"'><i>")).children[0]
    assert element.text == "<b>&"
    assert element.attributes == {"title": "\"'><i>"}
    assert element.children == []


def test_markup_passes_and_none_is_nothing() -> None:
    assert join(tag("b", "x"), None, ["<", (tag("i"), 5)]) == "<b>x</b>&lt;<i></i>5"
    assert isinstance(join("a"), Markup)


def test_attribute_names() -> None:
    assert tag("th", "x", class_="num", aria_label="y", id=None) == '<th class="num" aria-label="y">x</th>'


def test_elements_without_content() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert tag("path", d="M0 0") == '<path d="M0 0"/>'
    assert tag("circle", tag("title", "t")) == "<circle><title>t</title></circle>"
