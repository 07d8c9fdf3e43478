"""Cash of the latest calendar months, realised and forecast, loan by loan.

A vintage's long horizons take years to mature; the cash of the last months comes from all vintages
at once. What a model expects of it is its curve between two ages, the same whatever was paid before
(Bornhuetter & Ferguson 1972): loans closed early stand among them with nothing.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.age import CUT_OFF
from features.exposure import EAD
from features.months import month_number
from features.pipeline import build_scoring_frame, prepare_tape
from features.portfolio import Portfolio, PortfolioMeta
from models.recovery import RecoveryModel
from training.errors import TrainingError

Array = NDArray[np.float64]
Months = NDArray[np.integer[Any]]
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
    TrainingError
        When recoveries are undated.
    """
    if meta.recovery_timing == "none":
        raise TrainingError(
            f"{meta.name}: recovery_timing is 'none': nightly comparison needs dated cash; train"
            " with 'npl train' and promote by hand"
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


@dataclass(frozen=True)
class Expected:
    """What a model expects of loans.

    Attributes
    ----------
    window_rate : array, shape (loans,)
        Net cash in the window, fraction of EAD.
    ultimate_rate : array, shape (loans,)
        Net cash in all.
    """

    window_rate: Array
    ultimate_rate: Array


def expected_in(model: RecoveryModel, portfolio: Portfolio, loans: pl.DataFrame) -> Expected:
    """What a model expects of the loans of `loans_in`, from what was known at their cut-off.

    Raises
    ------
    TrainingError
        When the model tells no curve.
    features.errors.SpecError
        When the tape lacks an extra field of the model.
    """
    ultimate, curve = curves_of(model, portfolio, loans)
    months = loans["from_months"].to_numpy(), loans["to_months"].to_numpy()
    return Expected(between(model, curve, *months), ultimate)


def curves_of(
    model: RecoveryModel, portfolio: Portfolio, loans: pl.DataFrame
) -> tuple[Array, Array]:
    """Ultimate rates and curves of the loans of `loans_in`; errors as in `expected_in`."""
    if not model.horizons_months:
        raise TrainingError("the model tells no curve: it was trained on undated outcomes")
    ids = loans.lazy().select("loan_id")
    tape = portfolio.tape.join(ids, on="loan_id", how="semi")
    frame = build_scoring_frame(tape, portfolio.ledger, model.spec).collect(engine="streaming")
    return model.forecast(
        loans.select("loan_id").join(frame, on="loan_id", how="left", maintain_order="left")
    )


def between(model: RecoveryModel, curve: Array, from_months: Months, to_months: Months) -> Array:
    """Expected net cash of each loan between two ages of its own, fraction of EAD."""
    ages = np.array([0, *model.horizons_months], dtype=np.float64)
    whole = np.column_stack([np.zeros(len(curve)), curve])
    return _at(whole, ages, to_months) - _at(whole, ages, from_months)


def _at(curve: Array, ages: Array, months: Months) -> Array:
    """Each loan's curve at its own age; it is flat past the last horizon."""
    age = np.clip(months.astype(np.float64), 0.0, ages[-1])
    later = np.clip(np.searchsorted(ages, age), 1, len(ages) - 1)
    share = (age - ages[later - 1]) / (ages[later] - ages[later - 1])
    rows = np.arange(len(curve))
    before, after = curve[rows, later - 1], curve[rows, later]
    return np.asarray(before + share * (after - before))
