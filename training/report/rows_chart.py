"""A row each: a point, its interval, and lines to judge it by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from models.axis import nice_ticks
from training.report import svg

_LABELS, _RIGHT, _ROW, _TOP = (120.0, 400.0), 128.0, 24.0, 30.0
_WIDEST: Final = 4.0


@dataclass(frozen=True)
class Row:
    """One row of the chart.

    Attributes
    ----------
    label, said : str
        To the left, and to the right of the drawing.
    value : float, optional
        The point; none where there is too little to tell.
    low, high : float, optional
        Ends of its interval.
    shape : str
        circle, square, triangle or diamond.
    hollow : bool
        An outline, for what is not flagged.
    second : float, optional
        A second point, drawn as a tick.
    """

    label: str
    said: str
    value: float | None
    low: float | None = None
    high: float | None = None
    shape: str = "circle"
    hollow: bool = False
    second: float | None = None


def rows_chart(
    name: str,
    title: str,
    rows: Sequence[Row],
    tick_text: Callable[[float], str],
    axis_title: str,
    limits: Sequence[float] = (),
    most: float | None = None,
) -> str:
    """Draw rows on a common axis with zero on it.

    Parameters
    ----------
    name : str
        Unique on the page.
    title, axis_title : str
        What is shown, and what the axis counts.
    rows : sequence of Row
        From top to bottom.
    tick_text : callable
        Writes a number of the axis.
    limits : sequence of float
        Where dashed lines stand.
    most : float, optional
        Values beyond it are drawn at the edge, with an arrow.

    Returns
    -------
    str
        SVG.
    """
    low, high = _reach(rows, limits, most)
    longest = max(svg.text_width(row.label) for row in rows) + 24
    left, right = min(max(longest, _LABELS[0]), _LABELS[1]), svg.WIDTH - _RIGHT
    bottom = _TOP + _ROW * len(rows)

    def across(value: float) -> float:
        inside = min(max(value, low), high)
        return left + (right - left) * (inside - low) / (high - low)

    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    root = svg.canvas(name, bottom + 46, title, said)
    for tick in nice_ticks(low, high):
        svg.line(
            root, "axis" if tick == 0 else "grid", across(tick), _TOP - 6, across(tick), bottom
        )
        svg.text(root, "tick", across(tick), bottom + 16, tick_text(tick), "middle")
    for limit in limits:
        if low <= limit <= high:
            svg.line(root, "limit", across(limit), _TOP - 6, across(limit), bottom)
            svg.text(root, "tick", across(limit), _TOP - 12, tick_text(limit), "middle")
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        svg.text(root, "name", left - 14, y + 4, svg.shortened(row.label, left - 20), "end")
        svg.text(root, "value" if row.value is not None else "tick", right + 22, y + 4, row.said)
        if row.low is not None and row.high is not None:
            svg.line(root, "range", across(row.low), y, across(row.high), y)
            for end, beyond in ((row.low, row.low < low), (row.high, row.high > high)):
                if beyond:
                    _arrow(root, across(end), y, -1 if end < low else 1)
                else:
                    svg.line(root, "range", across(end), y - 4, across(end), y + 4)
        if row.second is not None:
            svg.line(root, "second", across(row.second), y - 8, across(row.second), y + 8)
        if row.value is not None:
            kind = "mark hollow" if row.hollow else "mark"
            svg.marker(root, row.shape, kind, across(row.value), y)
            if row.value > high:
                _arrow(root, across(row.value) + 14, y, 1)
    svg.line(root, "axis", left, bottom, right, bottom)
    svg.text(root, "tick", (left + right) / 2, bottom + 36, axis_title, "middle")
    return svg.written(root)


def _arrow(root: Element, x: float, y: float, way: int) -> None:
    svg.path(root, "range open", [(x - 5 * way, y - 4), (x, y), (x - 5 * way, y + 4)])


def _reach(rows: Sequence[Row], limits: Sequence[float], most: float | None) -> tuple[float, float]:
    """Ends of the axis: all points and lines, and intervals as far as they leave them readable."""
    points = [p for row in rows for p in (row.value, row.second) if p is not None]
    points = [0.0, *limits, *(p if most is None else min(p, most) for p in points)]
    low, high = min(points), max(points)
    # One interval that runs from edge to edge would press all others to a dot.
    room = (high - low) * _WIDEST or 1.0
    ends = [e for row in rows for e in (row.low, row.high) if e is not None]
    low = max(min([low, *ends]), low - room / 2)
    high = min(max([high, *ends]), high + room / 2)
    edge = 0.04 * (high - low) or 0.5
    return low - edge, high + edge
