"""Small charts as inline SVG for the report page, which styles them; or as SVG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from posetrack_app.core.records import FloatArray

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT = 460, 300, 44, 40, 14
_TEXT_WIDTH = 6.6
"""Pixels of a character, rather too many, so that labels are not cut."""
_MAX_POINTS = 150
"""Points per line; longer lines are thinned out."""
_FILE_STYLE = (
    "<style>svg { background: #fff; font: 11px sans-serif } text { fill: #5b6675 } .grid { stroke: #d5dbe3 } "
    ".line { fill: none; stroke-width: 2 } .c0 { stroke: #2f6fb5 } .c1 { stroke: #d1741f } .c2 { stroke: #2f8f57 } "
    ".c3 { stroke: #b3403f } .c4 { stroke: #7d5fb0 } .c5 { stroke: #8a6a4f } .c6 { stroke: #c95b9c }</style>"
)


def line_chart(
    lines: Sequence[tuple[str, FloatArray, FloatArray]],
    x_title: str,
    y_title: str,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    marked: Sequence[tuple[float, float, str]] = (),
) -> str:
    """A line chart as SVG with ticks at round numbers, and with a legend below it.

    Args:
        lines: (name, x, y) of each line.
        x_title: the label of the x axis.
        y_title: the label of the y axis, for screen readers.
        x_range: (lowest, highest) x.
        y_range: (lowest, highest) y.
        marked: (x, y, text) of points that get a dot.
    """

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1)
        up = (y - y_range[0]) / ((y_range[1] - y_range[0]) or 1)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), 8 + (1 - up) * (_HEIGHT - _BOTTOM - 8)

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(y_title)}">'
    ]
    for value in ticks(*y_range):
        y = at(x_range[0], value)[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.10g}</text>')
    for value in ticks(*x_range):
        x = at(value, y_range[0])[0]
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{value:.10g}</text>')
    middle = (_LEFT + _WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x_title)}</text>')
    for k, (name, xs, ys) in enumerate(lines):
        step = max(1, len(xs) // _MAX_POINTS)
        points = [at(x, y) for x, y in zip(xs[::step].tolist(), ys[::step].tolist(), strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line c{k}" points="{path}"><title>{escape(name)}</title></polyline>')
    for x_value, y_value, text in marked:
        x, y = at(x_value, y_value)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(text)}</title></circle>')
    legend = "".join(f'<li><i class="c{k}"></i>{escape(name)}</li>' for k, (name, *_) in enumerate(lines))
    return "".join(parts) + f'</svg><ul class="legend">{legend}</ul>'


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    span = high - low
    if not span > 0:
        return [low]
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def chart_file(chart: str, names: Sequence[str]) -> str:
    """A `line_chart` as the text of an SVG file, with colours, the title of the y axis and the `names` of the lines."""
    svg = chart[: chart.index("</svg>")].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    labels = "".join(
        f'<text x="{_LEFT + 28}" y="{24 + 16 * k}">{escape(name)}</text>'
        f'<line class="line c{k}" x1="{_LEFT + 8}" x2="{_LEFT + 24}" y1="{20 + 16 * k}" y2="{20 + 16 * k}"/>'
        for k, name in enumerate(names)
    )
    title = svg.partition('aria-label="')[2].partition('"')[0]
    middle = (_HEIGHT - _BOTTOM) / 2
    labels += f'<text x="{-middle}" y="10" text-anchor="middle" transform="rotate(-90)">{title}</text>'
    return svg.replace(">", f">{_FILE_STYLE}", 1) + labels + "</svg>\n"


def bar_chart(rows: Sequence[tuple[str, float | None]], title: str, unit: str = "") -> str:
    """A bar for each row (name, value); None draws no bar, values below 0 extend to the left. Names are never cut."""
    values = [value for _, value in rows if value is not None]
    low, high = min([0.0, *values]), max([0.0, *values]) or 1.0
    label = 12 + _TEXT_WIDTH * max((len(name) for name, _ in rows), default=0)
    width, height = max(460.0, label + 280), 22 * len(rows) + 4
    scale = (width - label - 60) / (high - low)
    zero = label - low * scale
    parts = [
        f'<svg class="chart" viewBox="0 0 {width:.0f} {height}" role="img" aria-label="{escape(title)}">'
    ]
    for k, (name, value) in enumerate(rows):
        y = 22 * k + 2
        parts.append(f'<text x="{label - 8:.1f}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        if value is not None:
            x = zero + min(0.0, value) * scale
            parts.append(
                f'<rect fill="#3b78c2" x="{x:.1f}" y="{y + 2}" width="{abs(value) * scale:.1f}" height="15" rx="2"/>'
            )
        end = zero + max(0.0, value or 0.0) * scale
        text = "–" if value is None else f"{value:.1f}{unit}"
        parts.append(f'<text x="{end + 5:.1f}" y="{y + 14}">{text}</text>')
    parts.append(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/>')
    return "".join(parts) + "</svg>"
