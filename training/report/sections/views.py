"""The same forecasts seen three ways, by the model as it was and by today's: each labelled."""

import polars as pl

from training.report.blocks import Block, Column, Table, Text
from training.report.cash import Cash, cash
from training.report.cash_table import cash_cells, cash_columns, deviation_figure
from training.report.part import Part, Thresholds
from training.report.subject import DATA_VIEWS, ORIGINAL, DataView, Subject
from training.report.words import Words


class View(Part):
    """Cash of all loans of one model view, window and data view."""

    model_view: str
    window: str
    data_view: DataView
    horizon_months: int | None
    headline: bool
    cash: Cash


def figures(subject: Subject) -> tuple[View, ...]:
    """Cash of every view that has at least one pair."""
    originals = subject.forecasts.filter(pl.col("forecast_of") == ORIGINAL)
    kinds = (
        originals.select("model_view", "window")
        .unique()
        .sort("model_view", "window", descending=[True, False])
    )
    found = []
    for model_view, window in kinds.iter_rows():
        rows = originals.filter(
            pl.col("model_view") == model_view, pl.col("window") == window
        ).sort("loan_id")
        for view in DATA_VIEWS:
            if view == "watched" and subject.horizon_months is None:
                continue
            pairs = subject.pairs(rows, view)
            if pairs.is_empty():
                continue
            found.append(
                View(
                    model_view=model_view,
                    window=window,
                    data_view=view,
                    horizon_months=subject.horizon_months if view == "watched" else None,
                    headline=(model_view, window, view)
                    == ("walk_forward", subject.window, subject.data_view),
                    cash=cash(pairs, subject.thresholds),
                )
            )
    return tuple(found)


def blocks(views: tuple[View, ...], words: Words, thresholds: Thresholds) -> list[Block]:
    """Show the views."""

    def named(view: View) -> str:
        window = "" if view.window == "all" else f" · {words('window.' + view.window)}"
        return words("model_view.short_" + view.model_view) + window

    first = (
        Column("model_view", words("column.model_view")),
        Column("data_view", words("column.data_view")),
    )
    rows = [
        cash_cells(
            view.cash,
            words,
            model_view=named(view),
            data_view=words(f"data_view.short_{view.data_view}", months=view.horizon_months),
            _strong=view.headline,
        )
        for view in views
    ]
    drawn = [
        (f"{row['model_view']} · {row['data_view']}", view.cash, False)
        for row, view in zip(rows, views, strict=True)
    ]
    held = {view.model_view for view in views}
    told = [
        Text(words(f"model_view.{name}"))
        for name in ("walk_forward", "current_model")
        if name in held
    ]
    seen = [v for v in DATA_VIEWS if v in {view.data_view for view in views}]
    months = next((v.horizon_months for v in views if v.horizon_months), None)
    told += [Text(words(f"data_view.{name}", months=months)) for name in seen]
    return [
        Text(words("views.lead")),
        *deviation_figure("views", words("views.figure"), drawn, words, thresholds),
        Table("views", words("views.table"), cash_columns(words, *first), rows),
        *told,
    ]
