"""Pieces of HTML that the report pages are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from posetrack_app.evaluation.report.style import SCRIPT, STYLE
from posetrack_app.evaluation.report.tables import number


@dataclass(frozen=True)
class Cell:
    """A table cell: the shown text, the value it sorts by, CSS classes, and the share (0..1) of a bar behind it."""

    text: str
    value: float | str | None = None
    style: str = ""
    share: float | None = None
    title: str = ""


Content = str | int | float | None | Cell


def bar(value: float | None, largest: float, text: str = "") -> Cell:
    """A number with a bar behind it; the bar of `largest` fills the cell."""
    share = 0.0 if value is None or largest <= 0 else min(1.0, max(0.0, value / largest))
    return Cell(text or number(value), value, "bar", share)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Content]], *, sortable: bool = False, tall: bool = False
) -> str:
    """A table that scrolls in its own box. Numbers are shown with one decimal, integers and texts as they are."""
    head = "".join(
        _heading(column, sortable, any(_is_text(row[k]) for row in rows)) for k, column in enumerate(columns)
    )
    lines = ["<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows]
    return (
        f'<div class="scroll{" tall" if tall else ""}"><table class="{"sortable" if sortable else ""}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _is_text(content: Content) -> bool:
    return isinstance(content, Cell) and "text" in content.style.split()


def _heading(column: str, sortable: bool, is_text: bool) -> str:
    attributes = ' class="text"' if is_text else ""
    if not sortable:
        return f'<th scope="col"{attributes}>{escape(column)}</th>'
    return f'<th scope="col"{attributes} data-sort><button type="button">{escape(column)}</button></th>'


def _cell(content: Content) -> str:
    if not isinstance(content, Cell):
        if isinstance(content, str):
            return f"<td>{escape(content)}</td>"
        content = Cell(str(content) if isinstance(content, int) else number(content), content)
    value = "" if content.value is None or content.value != content.value else content.value
    attributes = f' data-value="{escape(str(value))}"'
    if content.style:
        attributes += f' class="{content.style}"'
    if content.share is not None:
        attributes += f' style="--share: {100 * content.share:.1f}%"'
    if content.title:
        attributes += f' title="{escape(content.title)}"'
    return f"<td{attributes}>{escape(content.text)}</td>"


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """Large numbers (number, label) side by side."""
    parts = (
        f'<div class="tile"><b>{escape(text)}</b><span>{escape(label)}</span></div>' for text, label in values
    )
    return f'<div class="tiles">{"".join(parts)}</div>'


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    parts = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f'<dl class="facts">{"".join(parts)}</dl>'


def document(title: str, sections: Iterator[tuple[str, str]], head: str) -> str:
    """A complete page without external resources: `head`, links to the sections (title, content), and the sections."""
    parts = [(title, f"s{k}", content) for k, (title, content) in enumerate(sections)]
    links = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for name, anchor, _ in parts)
    body = "".join(
        f'<section id="{anchor}"><h2>{escape(name)}</h2>\n{content}</section>\n'
        for name, anchor, content in parts
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n{head}\n<nav>{links}</nav>\n"
        f"{body}<script>{SCRIPT}</script></body></html>\n"
    )
