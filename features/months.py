"""Whole months and calendar months between dates, as polars expressions."""

import polars as pl


def month_number(date: pl.Expr) -> pl.Expr:
    """Months since year 0 of a date, so that differences are calendar months.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"d": [date(2020, 1, 31), date(2020, 2, 1)]})
    >>> frame.select(month_number(pl.col("d"))).to_series().diff().to_list()
    [None, 1]
    """
    return date.dt.year().cast(pl.Int32) * 12 + date.dt.month().cast(pl.Int32)


def whole_months(start: pl.Expr, end: pl.Expr) -> pl.Expr:
    """Completed months from `start` to `end` (Float64); negative where `end` is earlier.

    A month is complete when its day of the month is reached: 31 January to 28 February is 0 months.

    Examples
    --------
    >>> from datetime import date
    >>> ends = [date(2020, 3, 14), date(2020, 3, 15)]
    >>> frame = pl.DataFrame({"a": [date(2020, 1, 15)] * 2, "b": ends})
    >>> frame.select(whole_months(pl.col("a"), pl.col("b"))).to_series().to_list()
    [1.0, 2.0]
    """
    unfinished = (end.dt.day() < start.dt.day()).cast(pl.Int32)
    return (month_number(end) - month_number(start) - unfinished).cast(pl.Float64)
