"""The original forecast against later ones: a re-forecast can hide a large miss."""

from typing import Final

import polars as pl

from training.report.blocks import Block, Column, Table, Text
from training.report.cash import Cash, cash
from training.report.cash_table import cash_cells, cash_columns
from training.report.part import Part
from training.report.subject import ORIGINAL, WALK_FORWARD, DataView, Subject
from training.report.words import Words

_LATEST: Final = "latest"


class Reforecast(Part):
    """Cash of the same loans by their original and by their latest forecast."""

    data_view: DataView
    forecast_of: str
    cash: Cash


def figures(subject: Subject) -> tuple[Reforecast, ...]:
    """Original against latest re-forecast, on the loans that have both; empty where none has.

    Each forecast is held against what came after its own reference date, on the exposure of that
    date.
    """
    own = subject.forecasts.filter(
        pl.col("model_view") == WALK_FORWARD, pl.col("window") == subject.window
    )
    later = own.filter(pl.col("forecast_of") != ORIGINAL)
    found = []
    for view in (subject.data_view, "estimated"):
        # The latest forecast whose own horizon has been watched.
        latest = subject.pairs(
            later.sort("loan_id", "reference_date").unique(
                "loan_id", keep="last", maintain_order=True
            )
            if view == "estimated"
            else _last_watched(later, subject),
            view,
        )
        first = subject.pairs(subject.loans, view)
        both = first.join(latest.select("loan_id"), on="loan_id", how="semi").sort("loan_id")
        latest = latest.join(both.select("loan_id"), on="loan_id", how="semi").sort("loan_id")
        for name, pairs in ((ORIGINAL, both), (_LATEST, latest)):
            if pairs.height:
                found.append(
                    Reforecast(
                        data_view=view, forecast_of=name, cash=cash(pairs, subject.thresholds)
                    )
                )
    return tuple(found)


def _last_watched(later: pl.DataFrame, subject: Subject) -> pl.DataFrame:
    held = subject.pairs(later, subject.data_view).select("loan_id", "fold")
    if held.is_empty():
        return later.clear()
    watched = (
        pl.col("is_resolved") & pl.col("actual_rate").is_not_null()
        if subject.horizon_months is None
        else pl.col("observed_months") >= subject.horizon_months
    )
    return (
        later.filter(watched)
        .sort("loan_id", "reference_date")
        .unique("loan_id", keep="last", maintain_order=True)
    )


def blocks(rows: tuple[Reforecast, ...], words: Words, months: int | None) -> list[Block]:
    """Show the two side by side."""
    if not rows:
        return [Text(words("reforecast.none"))]
    columns = cash_columns(
        words,
        Column("data_view", words("column.data_view")),
        Column("forecast_of", words("column.forecast_of")),
    )
    cells = [
        cash_cells(
            row.cash,
            words,
            data_view=words(f"data_view.short_{row.data_view}", months=months),
            forecast_of=words(f"forecast_of.{row.forecast_of}"),
        )
        for row in rows
    ]
    return [
        Text(words("reforecast.lead")),
        Table("reforecast", words("reforecast.table"), columns, cells),
    ]
