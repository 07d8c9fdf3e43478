"""Lines and points over two axes, named where they end."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.axis import nice_ticks
from training.report import svg

_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 24.0, 30.0, 46.0


@dataclass(frozen=True)
class Line:
    """One line of the chart.

    Attributes
    ----------
    label : str
        Written beside its end.
    points : sequence of (float, float)
        Rising in x.
    dash : str
        solid, dashed or dotted.
    shape : str, optional
        Marker at each point; none where the points are many.
    joined : bool
        Whether the points are joined.
    """

    label: str
    points: Sequence[tuple[float, float]]
    dash: str = "solid"
    shape: str | None = "circle"
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """Title of an axis and how its numbers are written."""

    title: str
    text: Callable[[float], str]
    ticks: Sequence[float] | None = None


def xy_chart(
    name: str,
    title: str,
    lines: Sequence[Line],
    across: Axis,
    up: Axis,
    *,
    diagonal: str | None = None,
    width: float = svg.WIDTH,
    height: float = 300.0,
) -> str:
    """Draw lines from zero on both axes.

    Parameters
    ----------
    name : str
        Unique on the page.
    title : str
        What is shown.
    lines : sequence of Line
        At least one with a point.
    across, up : Axis
        The axes.
    diagonal : str, optional
        Words at the end of a line of equality.
    width, height : float
        Of the drawing.

    Returns
    -------
    str
        SVG.
    """
    xs = [x for each in lines for x, _ in each.points]
    ys = [y for each in lines for _, y in each.points]
    if diagonal is not None:
        xs = ys = [*xs, *ys]
    x0, x1 = min(0.0, *xs), max(xs) or 1.0
    y0, y1 = min(0.0, *ys), (max(ys) or 1.0) * 1.05
    labels = [*(each.label for each in lines), *([diagonal] if diagonal else [])]
    longest = max(svg.text_width(label) for label in labels)
    left, right = _LEFT, width - _RIGHT - longest - 8
    top, bottom = _TOP, height - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (right - left) * (x - x0) / (x1 - x0),
            bottom - (bottom - top) * (y - y0) / (y1 - y0),
        )

    root = svg.canvas(name, height, title, _said(lines, across, up), width)
    for tick in nice_ticks(y0, y1, 4):
        y = at(x0, tick)[1]
        svg.line(root, "grid", left, y, right, y)
        svg.text(root, "tick", left - 8, y + 4, up.text(tick), "end")
    for tick in across.ticks if across.ticks is not None else nice_ticks(x0, x1):
        x = at(tick, y0)[0]
        svg.line(root, "axis", x, bottom, x, bottom + 5)
        svg.text(root, "tick", x, bottom + 18, across.text(tick), "middle")
    svg.line(root, "axis", left, at(x0, 0.0)[1], right, at(x0, 0.0)[1])
    svg.text(root, "tick", (left + right) / 2, bottom + 38, across.title, "middle")
    svg.text(root, "tick", 4, 10, up.title)
    if diagonal is not None:
        start, end = max(x0, y0), min(x1, y1)
        svg.path(root, "line dotted", [at(start, start), at(end, end)])
        svg.text(root, "tick", at(end, end)[0] + 10, at(end, end)[1] + 4, diagonal)
    for each in lines:
        places = [at(x, y) for x, y in each.points]
        if each.joined:
            svg.path(root, f"line {each.dash}", places)
        for x, y in places:
            if each.shape is not None:
                kind = "mark" if each.dash == "solid" else "mark hollow"
                svg.marker(root, each.shape, kind, x, y, 4.5)
    ends = _label_places([at(*each.points[-1])[1] for each in lines])
    for each, y in zip(lines, ends, strict=True):
        svg.text(root, "value", at(*each.points[-1])[0] + 10, y + 4, each.label)
    return svg.written(root)


def _label_places(ends: list[float], least: float = 16.0) -> list[float]:
    """Heights of labels, pushed apart where they would overlap."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    places = list(ends)
    for above, below in itertools.pairwise(order):
        places[below] = max(places[below], places[above] + least)
    # Half of the push goes up, so that the middle stays.
    shift = sum(p - e for p, e in zip(places, ends, strict=True)) / len(ends)
    return [p - shift for p in places]


def _said(lines: Sequence[Line], across: Axis, up: Axis) -> str:
    return "; ".join(
        f"{each.label}: "
        + ", ".join(f"{across.text(x)} → {up.text(y)}" for x, y in list(each.points)[:12])
        for each in lines
    )
