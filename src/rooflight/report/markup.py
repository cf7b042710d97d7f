"""HTML and SVG elements from functions: text is escaped because there is no way to forget it."""

from html import escape


class Markup(str):
    """Text that is markup already. Everything else is escaped on its way into an element."""

    __slots__ = ()


VOID = frozenset({"meta", "link", "br", "hr", "input", "line", "path", "circle", "rect"})

_HTML_VOID = frozenset({"meta", "link", "br", "hr", "input"})  # the others are of SVG, and end in a slash


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. `class_` and `for_` lose the underscore, `aria_label` becomes aria-label; None leaves it out."""
    head = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    body = join(*children)
    if name in VOID and not body:
        return Markup(f"<{name}{head}>" if name in _HTML_VOID else f"<{name}{head}/>")
    return Markup(f"<{name}{head}>{body}</{name}>")


def join(*children: object) -> Markup:
    """Children in order, escaped unless they are markup; None is nothing, lists and tuples are opened."""
    parts = []
    for child in children:
        if isinstance(child, list | tuple):
            parts.append(join(*child))
        elif isinstance(child, Markup):
            parts.append(child)
        elif child is not None:
            parts.append(Markup(escape(str(child), quote=False)))
    return Markup("".join(parts))


def scroll_box(content: Markup, label: str) -> Markup:
    """A wide table that scrolls inside its own box, by finger and by keyboard."""
    return tag("div", content, class_="scroll", role="region", tabindex="0", aria_label=label)


def table(caption: str, head: tuple[str, ...], rows: list[tuple[object, ...]], *, numbers: bool = True) -> Markup:
    """A table whose first column names its rows; the others are numbers, aligned right, unless told otherwise."""
    kind = "num" if numbers else None
    return tag(
        "table",
        tag("caption", caption),
        tag(
            "thead",
            tag("tr", [tag("th", word, scope="col", class_=kind if i else None) for i, word in enumerate(head)]),
        ),
        tag("tbody", [_row(row, kind) for row in rows]),
    )


def _row(row: tuple[object, ...], kind: str | None) -> Markup:
    first, *rest = row
    return tag("tr", tag("th", first, scope="row"), [tag("td", cell, class_=kind) for cell in rest])
