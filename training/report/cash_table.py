"""Tables of forecast and actual cash, and the drawing beside them: the same in every section."""

from collections.abc import Sequence
from typing import Any

from training.report.blocks import Block, Column, Figure
from training.report.cash import Cash
from training.report.part import Light, Thresholds
from training.report.rows_chart import Row, rows_chart
from training.report.words import Words

_SHAPES: dict[Light | None, str] = {
    None: "circle", "green": "circle", "amber": "triangle", "red": "square"
}  # fmt: skip


def cash_columns(words: Words, *first: Column) -> list[Column]:
    """Columns of forecast and actual cash after those that name the row."""
    unit = words.money_unit
    return [
        *first,
        Column("loans", words("column.loans"), "count"),
        Column("ead_amount", words("column.ead", unit=unit), "money"),
        Column("forecast_amount", words("column.forecast", unit=unit), "money"),
        Column("actual_amount", words("column.actual", unit=unit), "money"),
        Column("deviation_rate", words("column.deviation"), "signed"),
        Column("low_rate", words("column.low"), "signed"),
        Column("high_rate", words("column.high"), "signed"),
    ]


def cash_cells(found: Cash, words: Words, **first: Any) -> dict[str, Any]:
    """Values of one row; where the group is too thin, the words that say so."""
    cells = first | found.model_dump(
        include={"loans", "ead_amount", "forecast_amount", "actual_amount", "deviation_rate",
                 "low_rate", "high_rate", "light"}
    )  # fmt: skip
    if found.thin:
        cells["deviation_rate"] = words("word.too_few")
    return cells


def deviation_figure(
    name: str,
    title: str,
    rows: Sequence[tuple[str, Cash, bool]],
    words: Words,
    thresholds: Thresholds,
) -> list[Block]:
    """Draw the deviation of groups with its interval, between the lines of the traffic light.

    Parameters
    ----------
    name, title : str
        See `training.report.rows_chart.rows_chart`.
    rows : sequence of (str, Cash, bool)
        Label, cash, and whether the group is to stand out.
    words : Words
        Language.
    thresholds : Thresholds
        Where the lines stand.

    Returns
    -------
    list of Block
        One figure; none where fewer than two groups can be shown.
    """
    limits = [
        sign * limit
        for sign in (-1, 1)
        for limit in (thresholds.amber_deviation_rate, thresholds.red_deviation_rate)
    ]
    drawn = [
        Row(
            label=label,
            said=words.number("signed", held.deviation_rate)
            + (f" {words('word.flag')}" if flagged else ""),
            value=held.deviation_rate,
            low=held.low_rate,
            high=held.high_rate,
            shape=_SHAPES[held.light],
            hollow=held.light == "green",
        )
        # What is too thin for a figure stands in the table alone.
        for label, held, flagged in rows
        if held.deviation_rate is not None
    ]  # fmt: skip
    if len(drawn) < 2:
        return []
    axis = words("axis.deviation")
    drawing = rows_chart(name, title, drawn, lambda v: words.number("signed0", v), axis, limits)
    return [Figure(title, (drawing,))]
