"""Cash of the latest calendar months, loan by loan, as it came.

What happened after a cut-off: `training` judges by it, and live forecasts meet it in
`models.monitoring`; nothing that forecasts may read it, which an import contract holds.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl

from features.age import CUT_OFF
from features.errors import PortfolioError
from features.exposure import EAD
from features.months import month_number
from features.pipeline import prepare_tape
from features.portfolio import Portfolio, PortfolioMeta

_CENTS: Final = 100
_SEED: Final = 20_251_125


@dataclass(frozen=True)
class Window:
    """Whole calendar months, numbered as `features.months.month_number` does.

    Attributes
    ----------
    first, last : int
        First and last month, both included.
    """

    first: int
    last: int

    @property
    def eve(self) -> date:
        """Day before the first month."""
        return date((self.first - 1) // 12, (self.first - 1) % 12 + 1, 1) - timedelta(days=1)

    @property
    def end(self) -> date:
        """Last day of the last month."""
        return Window(self.last + 1, self.last + 1).eve

    def before(self, months: int) -> "Window":
        """Return the months that come just before."""
        return Window(self.first - months, self.first - 1)


def latest_window(meta: PortfolioMeta, months: int) -> Window:
    """Latest months whose cash is booked: over, less the reporting lag.

    Raises
    ------
    PortfolioError
        When recoveries are undated.
    """
    if meta.recovery_timing == "none":
        raise PortfolioError(
            f"{meta.name}: recovery_timing is 'none': forecasts meet later cash only where it is"
            " dated; train with 'npl train' and promote by hand"
        )
    next_day = meta.observed_until_date + timedelta(days=1)
    last = next_day.year * 12 + next_day.month - 1 - meta.reporting_lag_months
    return Window(last - months + 1, last)


def loans_in(portfolio: Portfolio, window: Window, most: int) -> pl.DataFrame:
    """Loans whose workout could bring cash in the window, and what it brought.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    window : Window
        Months of the cash.
    most : int
        A portfolio of more loans is judged by a random sample of that size.

    Returns
    -------
    polars.DataFrame
        By `loan_id`: `cut_off_date`; `vintage` (its quarter, such as 20243); `package_id`;
        `asset_class`; `ead_amount` (currency, above 0); `from_months`, `to_months` (ages at which
        the window begins and ends); `actual_rate` (net cash in the window, fraction of EAD).
    """
    meta = portfolio.meta
    cut_off = month_number(pl.col(CUT_OFF))
    end = pl.lit(meta.max_workout_months or 10**6, dtype=pl.Int32)
    loans = (
        prepare_tape(portfolio.tape, portfolio.ledger, meta.recovery_basis, ())
        .select(
            "loan_id",
            CUT_OFF,
            "package_id",
            pl.col("asset_class").cast(pl.String),
            EAD,
            from_months=pl.max_horizontal(window.first - 1 - cut_off, 0),
            to_months=pl.min_horizontal(window.last - cut_off, end),
            vintage=pl.col(CUT_OFF).dt.year().cast(pl.Int32) * 10 + pl.col(CUT_OFF).dt.quarter(),
        )
        .filter(pl.col(EAD) > 0, pl.col("to_months") > pl.col("from_months"))
        .sort("loan_id")
        .collect(engine="streaming")
    )
    if loans.height > most:
        drawn = np.random.default_rng(_SEED).choice(loans.height, most, replace=False)
        loans = loans[np.sort(drawn)]
    return loans.join(
        _net_amounts(portfolio, loans, window), on="loan_id", how="left", maintain_order="left"
    ).select(
        pl.exclude("net_amount"), actual_rate=pl.col("net_amount").fill_null(0.0) / pl.col(EAD)
    )


def _net_amounts(portfolio: Portfolio, loans: pl.DataFrame, window: Window) -> pl.DataFrame:
    by_month = net_by_month(portfolio, loans, window)
    return by_month.group_by("loan_id").agg(pl.col("net_amount").sum())


def net_by_month(portfolio: Portfolio, loans: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Net cash of loans in each month of a window, as known now.

    Returns
    -------
    polars.DataFrame
        `loan_id`, `month` (as in `Window`), `net_amount` (currency); months without cash are
        absent.
    """
    month = month_number(pl.col("period"))
    # Whole cents: sums do not depend on the order of the rows.
    cents = ((pl.col("gross_amount") - pl.col("cost_amount")) * _CENTS).round().cast(pl.Int64)
    return (
        portfolio.ledger.filter(
            month.is_between(window.first, window.last),
            pl.col("recorded_at").dt.date() <= portfolio.meta.observed_until_date,
        )
        .join(loans.lazy().select("loan_id", CUT_OFF), on="loan_id", how="inner")
        .filter(month > month_number(pl.col(CUT_OFF)))
        .group_by("loan_id", month.alias("month"))
        .agg(net_amount=cents.sum() / _CENTS)
        .sort("loan_id", "month")
        .collect(engine="streaming")
    )
