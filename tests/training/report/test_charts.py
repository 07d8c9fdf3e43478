"""Places on the canvas against arithmetic."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.axis import nice_ticks
from training.report.rows_chart import Row, rows_chart
from training.report.svg import shortened, text_width
from training.report.xy_chart import Axis, Line, _label_places, xy_chart


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_even_and_inside(low: float, span: float) -> None:
    high = low + span
    if high - low < 1e-6 * max(abs(low), 1.0):
        return
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 12
    steps = [b - a for a, b in pairwise(ticks)]
    assert max(steps) == pytest.approx(min(steps), rel=1e-3, abs=1e-9)
    assert ticks[0] >= low - steps[0] * 1e-3
    assert ticks[-1] <= high + steps[0] * 1e-3


def test_a_row_stands_where_its_value_is() -> None:
    rows = [Row("a", "0%", 0.0), Row("b", "+10%", 0.1, 0.05, 0.2), Row("c", "-10%", -0.1)]
    drawing = ElementTree.fromstring(rows_chart("n", "t", rows, str, "axis"))
    zero, plus, minus = (float(c.get("cx", "")) for c in drawing.iter("circle"))
    assert plus - zero == pytest.approx(zero - minus, abs=0.2)
    bar = next(e for e in drawing.iter("line") if e.get("class") == "range")
    assert float(bar.get("x1", "")) == pytest.approx((zero + plus) / 2, abs=0.2)
    assert float(bar.get("x2", "")) == pytest.approx(2 * plus - zero, abs=0.2)


def test_an_interval_beyond_the_axis_ends_in_an_arrow() -> None:
    rows = [Row("a", "+1%", 0.01, -0.02, 9.0), Row("b", "-1%", -0.01)]
    drawing = ElementTree.fromstring(rows_chart("n", "t", rows, str, "axis"))
    assert [e.get("class") for e in drawing.iter("path")] == ["range open"]


def test_equal_curves_keep_their_labels_apart() -> None:
    places = _label_places([100.0, 100.0, 101.0])
    assert sorted(places)[1] - sorted(places)[0] >= 16
    assert sum(places) == pytest.approx(301.0)


def test_a_point_lies_on_the_diagonal() -> None:
    axis = Axis("x", str)
    line = Line("l", [(0.1, 0.1), (0.4, 0.4)])
    drawing = ElementTree.fromstring(xy_chart("n", "t", [line], axis, axis, diagonal="equal"))
    diagonal = next(e for e in drawing.iter("path") if "dotted" in (e.get("class") or ""))
    (x0, y0), (x1, y1) = (
        tuple(map(float, p.split())) for p in (diagonal.get("d") or "")[1:].split(" L")
    )
    for circle in drawing.iter("circle"):
        share = (float(circle.get("cx", "")) - x0) / (x1 - x0)
        assert float(circle.get("cy", "")) == pytest.approx(y0 + share * (y1 - y0), abs=0.2)


def test_chinese_is_wide_and_long_labels_are_cut() -> None:
    assert text_width("债权") == pytest.approx(24.0)
    assert shortened("债权债权债权", 40.0) == "债权…"
    assert shortened("short", 100.0) == "short"
