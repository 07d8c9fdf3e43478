"""When the cash came: months to half of the forecast, and lateness apart from amount."""

from typing import Final

import polars as pl
from pydantic import Field

from training.report.blocks import Block, Column, Table, Text
from training.report.cash import clusters_of
from training.report.part import Light, Part, Thresholds
from training.report.sections.curves import cohort
from training.report.subject import Subject, horizon_column
from training.report.words import Words
from training.validation.thin import LEAST_LOANS
from training.validation.timing import half_time, timing_shift

ALL: Final = "all"


class Timing(Part):
    """Timing of one group's cash."""

    dimension: str
    level: str
    loans: int
    horizon_months: int
    half_forecast_months: float | None = Field(description="Months to half the forecast, forecast.")
    half_actual_months: float | None = Field(description="The same as it came; missing: not yet.")
    late_months: float | None = Field(
        description="Mean month of the actual cash less that of the forecast; free of the amount."
    )
    late_low_months: float | None
    late_high_months: float | None
    timing_deviates: bool = Field(description="Whether that interval leaves out 0.")
    amount_rate: float | None
    amount_deviates: bool
    light: Light | None


def figures(subject: Subject) -> tuple[Timing, ...]:
    """Timing of all loans, of each asset class and of each year of vintage."""
    loans, months = cohort(subject)
    if loans.height < LEAST_LOANS or len(months) < 2:
        return ()
    loans = loans.with_columns(
        vintage=pl.col("vintage_date").dt.year().cast(pl.String),
        vintage_month=pl.col("vintage_date").dt.year().cast(pl.Int64) * 12
        + pl.col("vintage_date").dt.month(),
    )
    found = [_timing(loans, months, ALL, "", subject.thresholds)]
    for name in ("asset_class", "vintage"):
        sizes = loans.filter(pl.col(name) != "").group_by(name).len().sort(name)
        for level in sizes.filter(pl.col("len") >= LEAST_LOANS)[name]:
            group = loans.filter(pl.col(name) == level)
            found.append(_timing(group, months, name, level, subject.thresholds))
    return tuple(found)


def _timing(
    loans: pl.DataFrame, months: tuple[int, ...], dimension: str, level: str, limits: Thresholds
) -> Timing:
    actual, forecast = (
        loans.select(
            pl.col(horizon_column(kind, h)) * pl.col("ead_amount") for h in months
        ).to_numpy()
        for kind in ("actual", "forecast")
    )
    half = half_time(months, forecast.sum(axis=0), actual.sum(axis=0))
    shift = timing_shift(months, actual, forecast, clusters_of(loans)[1])
    late = shift.late_months if shift else None
    beyond = bool(shift and shift.timing_deviates)
    return Timing(
        dimension=dimension,
        level=level,
        loans=loans.height,
        horizon_months=months[-1],
        half_forecast_months=half.forecast_months,
        half_actual_months=half.actual_months,
        late_months=late,
        late_low_months=shift.late_interval.low if shift else None,
        late_high_months=shift.late_interval.high if shift else None,
        timing_deviates=beyond,
        amount_rate=shift.amount_rate if shift else None,
        amount_deviates=bool(shift and shift.amount_deviates),
        light=None if late is None else _light(abs(late), beyond, limits),
    )


def _light(months: float, beyond_chance: bool, limits: Thresholds) -> Light:
    if not beyond_chance or months < limits.amber_late_months:
        return "green"
    return "red" if months >= limits.red_late_months else "amber"


def blocks(rows: tuple[Timing, ...], words: Words) -> list[Block]:
    """Show the timing."""
    if not rows:
        return [Text(words("timing.none"))]
    months = rows[0].horizon_months
    columns = [
        Column("group", words("column.group")),
        Column("loans", words("column.loans"), "count"),
        Column("half_forecast_months", words("column.half_forecast"), "months"),
        Column("half_actual_months", words("column.half_actual"), "months"),
        Column("late_months", words("column.late"), "months_signed"),
        Column("late_low_months", words("column.low"), "months_signed"),
        Column("late_high_months", words("column.high"), "months_signed"),
        Column("amount_rate", words("column.deviation"), "signed"),
        Column("finding", words("column.finding")),
    ]
    not_yet = words("timing.not_yet", months=months)
    cells = []
    for row in rows:
        name = (
            words("word.all_loans")
            if row.dimension == ALL
            else words.level(row.dimension, row.level)
        )
        late = row.half_actual_months
        cells.append(
            row.model_dump()
            | {
                "group": name,
"half_actual_months": not_yet if late is None else late,
                "finding": words(
                    "timing.finding_"
                    + ("both" if row.timing_deviates and row.amount_deviates
                       else "timing" if row.timing_deviates
                       else "amount" if row.amount_deviates else "none")
                ),
                "_strong": row.dimension == ALL,
            }
        )  # fmt: skip
    return [
        Text(words("timing.lead", months=months)),
        Table("timing", words("timing.table"), columns, cells),
        Text(words("timing.note"), "note"),
    ]
