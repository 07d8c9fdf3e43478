"""The reference dates of a backtest: calendar dates with enough known before and enough after."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from features.age import CUT_OFF
from features.horizons import HORIZONS_MONTHS
from features.months import month_number
from features.portfolio import Portfolio, PortfolioMeta
from training.errors import TrainingError
from training.labels import MIN_OUTCOMES

# Months between reference dates; the finer ones where a file is too short for the coarser.
_STEPS_MONTHS: Final = (12, 6, 3)
_ENOUGH_DATES: Final = 5
# The newest dates are judged: a model of decades ago is not the one that is used.
_MOST_DATES: Final = 8
LEAST_SCORED: Final = 30


@dataclass(frozen=True)
class ReferenceDate:
    """A day on which a model was trained, and the loans that it forecast.

    Attributes
    ----------
    fold : int
        Number of the fold, from 0.
    day : datetime.date
        Last day of a month: the ledger knows no days. What was known on its evening trains.
    until : datetime.date, optional
        Next reference date; loans with a cut-off after `day` and up to here are forecast. Missing
        for the last one.
    """

    fold: int
    day: date
    until: date | None

    def scores(self, cut_off: pl.Expr) -> pl.Expr:
        """Whether a cut-off date lies in the fold."""
        after = cut_off > self.day
        return after if self.until is None else after & (cut_off <= self.until)


def loan_dates(portfolio: Portfolio) -> pl.DataFrame:
    """Dates of each loan that say what was known when.

    Returns
    -------
    polars.DataFrame
        In tape order: `loan_id`, `cut_off_date`, `closed_date` (missing while open) and
        `has_outcome` (an undated outcome is in the ledger).
    """
    names = portfolio.tape.collect_schema().names()
    closed = pl.col("closed_date") if "closed_date" in names else pl.lit(None, dtype=pl.Date)
    undated = (
        portfolio.ledger.filter(pl.col("period").is_null())
        .select("loan_id", has_outcome=pl.lit(True))
        .unique()
    )
    return (
        portfolio.tape.select("loan_id", pl.col("snapshot_date").alias(CUT_OFF), closed_date=closed)
        .join(undated, on="loan_id", how="left", maintain_order="left")
        .with_columns(pl.col("has_outcome").fill_null(False))
        .collect(engine="streaming")
    )


def reference_dates(dates: pl.DataFrame, meta: PortfolioMeta) -> list[ReferenceDate]:
    """Yearly dates; half-yearly or quarterly ones where the years are fewer than five.

    A date counts where `training.labels.MIN_OUTCOMES` outcomes were known on it and `LEAST_SCORED`
    loans came before the next one. At most the newest eight are taken.

    Parameters
    ----------
    dates : polars.DataFrame
        From `loan_dates`.
    meta : PortfolioMeta
        Description of the portfolio.

    Raises
    ------
    TrainingError
        When there is no such date.
    """
    found: list[date] = []
    for step in _STEPS_MONTHS:
        days = _enough_on_both_sides(dates, meta, _calendar(dates, step))
        if len(days) > len(found):
            found = days
        if len(found) >= _ENOUGH_DATES:
            break
    if not found:
        raise TrainingError(
            f"no calendar date has {MIN_OUTCOMES} known outcomes before it and {LEAST_SCORED} loans"
            " after it: there is nothing to walk forward through; bring older vintages"
        )
    return numbered(found[-_MOST_DATES:])


def numbered(days: list[date]) -> list[ReferenceDate]:
    """Folds that begin on the given days, rising."""
    following = [*days[1:], None]
    return [
        ReferenceDate(fold, day, until)
        for fold, (day, until) in enumerate(zip(days, following, strict=True))
    ]


def _calendar(dates: pl.DataFrame, step_months: int) -> list[date]:
    """Month ends that close a period of `step_months`, from the first cut-off to the last."""
    first, last = dates[CUT_OFF].min(), dates[CUT_OFF].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return []
    ends = []
    for year in range(first.year, last.year + 1):
        for month in range(step_months, 13, step_months):
            next_month = date(year + month // 12, month % 12 + 1, 1)
            ends.append(next_month - timedelta(days=1))
    return [day for day in ends if first <= day < last]


def _enough_on_both_sides(dates: pl.DataFrame, meta: PortfolioMeta, days: list[date]) -> list[date]:
    known = [day for day in days if _known_by(dates, meta, day) >= MIN_OUTCOMES]
    cut_off = dates[CUT_OFF]
    kept: list[date] = []
    # From the last one back: a day with too few loans after it leaves them to the one before.
    following: date | None = None
    for day in reversed(known):
        after = cut_off > day
        if following is not None:
            after &= cut_off <= following
        if int(after.sum()) >= LEAST_SCORED:
            kept.insert(0, day)
            following = day
    return kept


def _known_by(dates: pl.DataFrame, meta: PortfolioMeta, day: date) -> int:
    """Outcomes known on a day, as `training.labels.known_outcomes` counts them."""
    lag = meta.reporting_lag_months
    if meta.recovery_timing == "none":
        known = (pl.col(CUT_OFF) <= day) & pl.col("has_outcome")
    elif meta.recovery_timing == "resolution":
        booked = pl.lit(day).dt.offset_by(f"-{lag}mo")
        known = (pl.col(CUT_OFF) <= day) & (pl.col("closed_date") <= booked)
    else:
        watched = month_number(pl.lit(day)) - month_number(pl.col(CUT_OFF)) - lag
        known = watched >= HORIZONS_MONTHS[0]
    return int(dates.select(known.sum()).item())
