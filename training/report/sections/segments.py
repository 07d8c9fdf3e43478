"""Deviation by vintage, age, asset class, region, exposure and guarantee, and what stands out."""

import re
from math import fsum
from typing import Any, Final

import polars as pl
from pydantic import Field

from features.segments import AGE_BANDS, EXPOSURE_BANDS
from training.report.blocks import Block, Column, Table, Text
from training.report.cash import CENTS, Cash, IntervalBy, exact_amount
from training.report.cash_table import cash_cells, cash_columns, deviation_figure
from training.report.part import Part, Thresholds
from training.report.sections.data import require_tie
from training.report.subject import SEGMENTS, Subject
from training.report.words import Words
from training.validation.segment_deviations import NOT_STATED, segment_deviations

_SHOWN: Final = 12
VINTAGE: Final = "vintage"
_BANDS: Final = {"age_band": AGE_BANDS, "exposure_band": EXPOSURE_BANDS}


class Segment(Part):
    """One level of one dimension."""

    level: str = Field(description="Empty where the tape does not state one.")
    cash: Cash
    difference_rate: float | None = Field(description="Its deviation less that of all other loans.")
    p_value: float | None = Field(description="Two-sided, of that difference.")
    corrected_p_value: float | None = Field(description="By Holm, over all segments tested.")
    flagged: bool


class Dimension(Part):
    """Every judged loan, in one level of a dimension."""

    dimension: str
    segments: tuple[Segment, ...]


class Segments(Part):
    """Deviation by segment."""

    tested: int
    flagged: int
    dimensions: tuple[Dimension, ...]


def figures(subject: Subject) -> Segments:
    """Deviation of every level of every dimension that the portfolio states."""
    judged = subject.judged.with_columns(
        pl.col("vintage_date").dt.year().cast(pl.String).fill_null("").alias(VINTAGE)
    )
    names = [n for n in (VINTAGE, *SEGMENTS) if (judged[n].fill_null("") != "").any()]
    clustered = judged["vintage_month"].null_count() == 0
    found = segment_deviations(
        judged.rename({"forecast": "forecast_rate", "actual": "actual_rate"}),
        names,
        "vintage_month" if clustered else None,
    )
    dimensions = []
    for name in names:
        cents = judged.group_by(pl.col(name).alias("level")).agg(CENTS.alias("cents"))
        rows = (
            found.filter(pl.col("dimension") == name)
            .join(cents, on="level", how="left")
            .with_columns(ead_amount=pl.col("cents") / 100)
            .to_dicts()
        )
        rows.sort(key=lambda row: _order(name, row))
        dimensions.append(
            Dimension(
                dimension=name,
                segments=tuple(_segment(row, subject.thresholds, clustered) for row in rows),
            )
        )
        # Of the table itself, so that nothing on its way to the reader is lost.
        require_tie(
            f"segments by {name}",
            [(s.cash.loans, s.cash.ead_amount) for s in dimensions[-1].segments],
            (judged.height, exact_amount(judged)),
        )
    return Segments(
        tested=found["p_value"].count(),
        flagged=int(found["flagged"].sum()),
        dimensions=tuple(dimensions),
    )


def _segment(row: dict[str, Any], thresholds: Thresholds, clustered: bool) -> Segment:
    thin = row["deviation_rate"] is None and row["forecast_amount"] > 0
    by: IntervalBy | None = None
    if row["deviation_low"] is not None:
        by = "month" if clustered else "loan"
    return Segment(
        level="" if row["level"] == NOT_STATED else row["level"],
        cash=Cash(
            **{n: row[n] for n in ("loans", "ead_amount", "forecast_amount", "actual_amount")},
            deviation_rate=row["deviation_rate"],
            low_rate=row["deviation_low"],
            high_rate=row["deviation_high"],
            interval_by=by,
            light=thresholds.deviation_light(row["deviation_rate"]),
            thin=thin,
        ),
        **{n: row[n] for n in ("difference_rate", "p_value", "corrected_p_value", "flagged")},
    )


def _order(dimension: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """Bands and years in their own order, all else by money; what is not stated last."""
    level = row["level"]
    bands = _BANDS.get(dimension, ())
    if level in bands:
        return (False, bands.index(level), level)
    if re.fullmatch(r"\d{4}", level):
        return (False, int(level), level)
    return (level in ("", NOT_STATED), -row["ead_amount"], level)


def blocks(segments: Segments, words: Words, thresholds: Thresholds) -> list[Block]:
    """Show each dimension: a drawing and a table."""
    shown: list[Block] = [
        Text(
            words(
                "segments.lead",
                tested=segments.tested,
                flagged=segments.flagged,
                level=words.number("rate0", thresholds.significance),
            )
        )
    ]
    for part in segments.dimensions:
        title = words(f"dimension.{part.dimension}")
        first = Column("level", title)
        rows = [_cells(part.dimension, s, words) for s in part.segments]
        visible = [i for i, s in enumerate(part.segments) if i < _SHOWN or s.flagged]
        columns = [
            *cash_columns(words, first),
            Column("corrected_p_value", words("column.corrected_p"), "p"),
        ]
        drawn = [
            (rows[i]["level"], part.segments[i].cash, part.segments[i].flagged) for i in visible
        ]
        name = f"segments-{part.dimension.replace('_', '-')}"
        figure = words("segments.figure", dimension=title)
        shown += deviation_figure(name, figure, drawn, words, thresholds)
        shown.append(
            Table(
                name,
                words("segments.table", dimension=title),
                columns,
                rows,
                total=_pooled(rows) | {"level": words("word.total")},
                shown=_with_rest(rows, visible, words),
            )
        )
    shown.append(Text(words("segments.note"), "note"))
    return shown


def _cells(dimension: str, segment: Segment, words: Words) -> dict[str, Any]:
    flag = f" {words('word.flag')}" if segment.flagged else ""
    return cash_cells(
        segment.cash,
        words,
        level=words.level(dimension, segment.level) + flag,
        corrected_p_value=segment.corrected_p_value,
        _strong=segment.flagged,
    )


def _with_rest(
    rows: list[dict[str, Any]], visible: list[int], words: Words
) -> list[dict[str, Any]]:
    """Rows of the page: the largest and the flagged, and the rest as one so that totals tie."""
    rest = [row for i, row in enumerate(rows) if i not in set(visible)]
    kept = [rows[i] for i in visible]
    if not rest:
        return kept
    name = words("word.others", count=len(rest))
    return [*kept, _pooled(rest) | {"level": name}]


def _pooled(rows: list[dict[str, Any]]) -> dict[str, Any]:
    pooled = {
        name: fsum(row[name] for row in rows)
        for name in ("loans", "ead_amount", "forecast_amount", "actual_amount")
    }
    expected = pooled["forecast_amount"]
    rate = pooled["actual_amount"] / expected - 1 if expected > 0 else None
    return pooled | {"deviation_rate": rate}
