"""What every page has: its head, its policy, sections with links to them, a foot."""

from collections.abc import Sequence
from dataclasses import dataclass

from rooflight.report.markup import Markup, tag
from rooflight.report.style import STYLE

# A page may use its own style sheet and nothing else: no script, no image, no font, no address.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a page; without content it is left out, and its link too."""

    key: str
    link: str
    title: str
    content: Markup | None


def document(*, title: str, eyebrow: str, heading: str, sections: Sequence[Section], foot: str, style: str = "") -> str:
    """The whole page.

    style  rules of this kind of page, behind those that all share
    """
    shown = [section for section in sections if section.content is not None]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(STYLE + style)),
    )
    body = tag(
        "body",
        tag("a", f"Skip to {shown[0].title.lower()}", href=f"#{shown[0].key}", class_="skip") if shown else None,
        tag("header", tag("p", eyebrow, class_="eyebrow"), tag("h1", heading)),
        tag("nav", tag("ul", [_link(section) for section in shown]), aria_label="Sections"),
        tag("main", [_section(section) for section in shown]),
        tag("footer", tag("p", foot)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def figure(label: str, value: str, aside: str) -> Markup:
    """One entry of a grid of figures."""
    return tag("div", tag("dt", label), tag("dd", value, class_="value"), tag("dd", aside, class_="aside"))


def _link(section: Section) -> Markup:
    return tag("li", tag("a", section.link, href=f"#{section.key}"))


def _section(section: Section) -> Markup:
    heading = tag("h2", section.title, id=f"{section.key}-title")
    return tag(
        "section",
        heading,
        section.content,
        id=section.key,
        aria_labelledby=f"{section.key}-title",
        tabindex="-1",
    )
