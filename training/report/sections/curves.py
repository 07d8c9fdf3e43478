"""Actual against expected curves: cumulative cash of loans watched to the headline's horizon."""

from typing import Final

import polars as pl

from training.report.blocks import Block, Column, Figure, Table, Text
from training.report.part import Part
from training.report.subject import Subject, horizon_column
from training.report.words import Words
from training.report.xy_chart import Axis, Line, xy_chart
from training.validation.thin import LEAST_LOANS

_PANELS: Final = 4


class CurvePoint(Part):
    """Cumulative rates of a group at a horizon."""

    horizon_months: int
    forecast_rate: float
    actual_rate: float
    collection_ratio: float | None


class Curve(Part):
    """Forecast and actual curve of one cohort of loans: the same loans at every horizon."""

    asset_class: str | None = None
    loans: int
    ead_amount: float
    points: tuple[CurvePoint, ...]


def cohort(subject: Subject) -> tuple[pl.DataFrame, tuple[int, ...]]:
    """Loans with forecast and outcome at every horizon to the headline's, and those horizons."""
    last = subject.horizon_months
    if last is None:
        return subject.loans.clear(), ()
    months = tuple(h for h in subject.horizons if h <= last)
    columns = [horizon_column(kind, h) for kind in ("forecast", "actual") for h in months]
    return subject.loans.drop_nulls(columns), months


def figures(subject: Subject) -> tuple[Curve, ...]:
    """Curves of all loans and of the largest asset classes; empty where cash is undated."""
    loans, months = cohort(subject)
    if loans.height < 2 or len(months) < 2:
        return ()
    by_class = (
        loans.filter(pl.col("asset_class") != "")
        .group_by("asset_class")
        .agg(pl.len().alias("loans"), pl.col("ead_amount").sum())
        .filter(pl.col("loans") >= LEAST_LOANS)
        .sort("ead_amount", "asset_class", descending=[True, False])
    )
    return (
        _curve(loans, months, None),
        *(
            _curve(loans.filter(pl.col("asset_class") == name), months, name)
            for name in by_class["asset_class"]
        ),
    )


def _curve(loans: pl.DataFrame, months: tuple[int, ...], asset_class: str | None) -> Curve:
    ead = float(loans["ead_amount"].sum())
    points = []
    for h in months:
        forecast, actual = (
            float((loans[horizon_column(kind, h)] * loans["ead_amount"]).sum()) / ead
            for kind in ("forecast", "actual")
        )
        points.append(
            CurvePoint(
                horizon_months=h,
                forecast_rate=forecast,
                actual_rate=actual,
                collection_ratio=actual / forecast if forecast > 0 else None,
            )
        )
    return Curve(asset_class=asset_class, loans=loans.height, ead_amount=ead, points=tuple(points))


def blocks(curves: tuple[Curve, ...], words: Words) -> list[Block]:
    """Draw the curves."""
    if not curves:
        return [Text(words("curves.none"))]
    columns = [
        Column("group", words("column.group")),
        Column("horizon_months", words("column.months"), "count"),
        Column("loans", words("column.loans"), "count"),
        Column("forecast_rate", words("column.forecast_rate"), "rate"),
        Column("actual_rate", words("column.actual_rate"), "rate"),
        Column("collection_ratio", words("column.collection_ratio"), "rate"),
    ]
    rows = [
        {"group": _name(c, words), "loans": c.loans, **p.model_dump()}
        for c in curves
        for p in c.points
    ]
    panels = [_drawing(c, words, 448.0) for c in curves[1 : 1 + _PANELS]]
    shown: list[Block] = [
        Text(words("curves.lead", loans=words.number("count", curves[0].loans))),
        Figure(words("curves.figure"), (_drawing(curves[0], words, 912.0),)),
    ]
    if len(curves) > 2:
        shown.append(Figure(words("curves.panels"), panels))
    shown.append(
        Table("curves", words("curves.table"), columns, rows, shown=rows[: len(curves[0].points)])
    )
    return shown


def _name(curve: Curve, words: Words) -> str:
    if curve.asset_class is None:
        return words("word.all_loans")
    return words.level("asset_class", curve.asset_class)


def _drawing(curve: Curve, words: Words, width: float) -> str:
    name = _name(curve, words)
    points = {
        "forecast": [(float(p.horizon_months), p.forecast_rate) for p in curve.points],
        "actual": [(float(p.horizon_months), p.actual_rate) for p in curve.points],
    }
    lines = [
        Line(
            words(f"word.{kind}"),
            [(0.0, 0.0), *points[kind]],
            dash,
            shape,
        )
        for kind, dash, shape in (("forecast", "dashed", "square"), ("actual", "solid", "circle"))
    ]  # fmt: skip
    ticks = [0.0, *(float(p.horizon_months) for p in curve.points)]
    if width < 500:
        ticks = [t for t in ticks if t % 12 == 0]
    across = Axis(words("axis.months"), lambda v: f"{v:.0f}", ticks)
    return xy_chart(
        f"curve-{curve.asset_class or 'all'}".replace("_", "-"),
        words("curves.title", group=name),
        lines,
        across,
        Axis(f"{name} · {words('axis.rate_of_ead')}", lambda v: words.number("rate0", v)),
        width=width,
        height=280.0 if width > 500 else 232.0,
    )
