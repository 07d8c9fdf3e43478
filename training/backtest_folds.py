"""The models of a backtest as they would have been, and their forecasts beside what came."""

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from features.age import CUT_OFF
from features.horizons import HORIZONS_MONTHS, rate_column
from features.pipeline import learn_spec
from features.portfolio import Portfolio
from features.targets import TO_DATE
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training.backtest_loans import (
    actual_column,
    forecast_column,
    of_loans,
    sampled_ids,
)
from training.dataset import TrainingSet, training_set
from training.walk_forward import MOST_TRAINING_LOANS

Array = NDArray[np.float64]
ModelView = Literal["walk_forward", "current_model"]
Window = Literal["expanding", "sliding", "all"]
ForecastOf = Literal["original", "reforecast"]


@dataclass(frozen=True)
class Told:
    """Whose forecast a row is.

    Attributes
    ----------
    model_view : {"walk_forward", "current_model"}
        The model as it would have been, or today's.
    window : {"expanding", "sliding", "all"}
        Vintages it was trained on.
    forecast_of : {"original", "reforecast"}
        At the loan's own cut-off, or at a later date.
    fold : int
        Number of the reference date.
    known_on : datetime.date
        Day whose knowledge trained the model.
    """

    model_view: ModelView
    window: Window
    forecast_of: ForecastOf
    fold: int
    known_on: date


def known_then(
    portfolio: Portfolio, dates: pl.DataFrame, day: date, since: date | None, seed: int
) -> TrainingSet:
    """Training set as it would have been on a day: features, vocabularies and outcomes.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    dates : polars.DataFrame
        From `training.backtest_dates.loan_dates`.
    day : datetime.date
        Loans with a cut-off up to this day are trained on, with what was recorded by then. Undated
        outcomes cannot be put back in time and are the final ones.
    since : datetime.date, optional
        Only loans with a cut-off after this day.
    seed : int
        Of the sample that is drawn where there are more than 15,000.
    """
    eligible = dates[CUT_OFF] <= day
    if since is not None:
        eligible &= dates[CUT_OFF] > since
    ids = sampled_ids(dates.filter(eligible)["loan_id"], MOST_TRAINING_LOANS, seed)
    early = of_loans(portfolio, ids)
    dated = portfolio.meta.recovery_timing != "none"
    return training_set(
        early,
        spec=learn_spec(early.tape, early.ledger, early.meta),
        known_on=day if dated else None,
    )


def forecast_rows(
    told: Told,
    model: RecoveryModel,
    portfolio: Portfolio,
    loans: pl.DataFrame,
) -> pl.DataFrame:
    """Forecasts of a model beside what came of the loans.

    Parameters
    ----------
    told : Told
        Whose forecasts they are.
    model : RecoveryModel
        The model.
    portfolio : Portfolio
        Holds the loans.
    loans : polars.DataFrame
        From `training.backtest_loans.loans_at`, in tape order of the portfolio.

    Returns
    -------
    polars.DataFrame
        The rows of `training.backtest.Backtest.forecasts`, without intervals. Loans without
        exposure have no row.
    """
    at = loans["reference_date"][0] if told.forecast_of == "reforecast" and loans.height else None
    scores = score_loans(model, portfolio.tape, portfolio.ledger, cut_off_date=at)
    whole = portfolio.meta.max_workout_months
    told_ultimate = model.ultimate_months in (None, whole)
    curve = [
        scores[rate_column(months)].alias(forecast_column(months))
        if months in model.horizons_months
        else pl.Series(forecast_column(months), [None] * scores.height, dtype=pl.Float64)
        for months in HORIZONS_MONTHS
    ]
    ultimate = pl.lit(None, dtype=pl.Float64) if not told_ultimate else pl.col("recovery_rate")
    own_words = [pl.lit(getattr(told, name)).alias(name) for name in _WORDS]
    rows = loans.hstack([*curve, scores["recovery_rate"], scores["reason"]])
    rows = rows.with_columns(to_date(rows, model.horizons_months))
    return rows.filter(pl.col("reason").is_null()).select(
        "loan_id",
        *own_words,
        "reference_date",
        pl.lit(told.known_on).alias("known_on"),
        pl.lit(told.fold, dtype=pl.Int32).alias("fold"),
        pl.col(loans.columns).exclude("loan_id", "reference_date", TO_DATE, "^actual_rate.*$"),
        *(series.name for series in curve),
        ultimate.alias(forecast_column(None)),
        *(actual_column(months) for months in HORIZONS_MONTHS),
        actual_column(None),
        "to_date_months",
        "forecast_to_date_rate",
        "actual_to_date_rate",
    )


_WORDS: Final = ("model_view", "window", "forecast_of")


def to_date(rows: pl.DataFrame, horizons_months: tuple[int, ...]) -> list[pl.Series]:
    """Forecast and cash by the month each loan was watched to, at most to the end of the curve."""
    empty = [None] * rows.height
    if not horizons_months:
        return [
            pl.Series("to_date_months", empty, dtype=pl.Int32),
            pl.Series("forecast_to_date_rate", empty, dtype=pl.Float64),
            pl.Series("actual_to_date_rate", empty, dtype=pl.Float64),
        ]
    reach = horizons_months[-1]
    months = rows["observed_months"].clip(upper_bound=reach).cast(pl.Int32)
    curve = rows.select(forecast_column(h) for h in horizons_months).to_numpy()
    forecast = pl.Series(curve_at(curve, horizons_months, months.to_numpy()), nan_to_null=True)
    watched = (months > 0).to_frame("watched")
    actual = (
        pl.when(pl.col("observed_months") < reach)
        .then(pl.col(TO_DATE))
        .otherwise(pl.col(actual_column(reach)))
    )
    columns = rows.with_columns(months.alias("months"), forecast.alias("forecast")).hstack(watched)
    return columns.select(
        pl.when("watched").then("months").alias("to_date_months"),
        pl.when("watched").then("forecast").alias("forecast_to_date_rate"),
        pl.when("watched").then(actual).alias("actual_to_date_rate"),
    ).get_columns()


def curve_at(curve: Array, horizons_months: tuple[int, ...], months: NDArray[np.int32]) -> Array:
    """Cumulative rate of each loan at its own month, between the horizons of its curve.

    Monotone cubic interpolation from nothing at month 0 (Fritsch & Carlson 1980), so that the read
    curve never falls where the told one does not.

    Parameters
    ----------
    curve : array, shape (loans, horizons)
        Cumulative rates.
    horizons_months : tuple of int
        Rising.
    months : array of int, shape (loans,)
        0 to the last horizon.

    Returns
    -------
    array, shape (loans,)

    Examples
    --------
    >>> curve_at(np.array([[0.1, 0.2], [0.1, 0.2]]), (6, 12), np.array([12, 9])).round(6).tolist()
    [0.2, 0.15]
    """
    read = np.zeros(len(curve))
    for month in np.unique(months):
        here = months == month
        values = np.column_stack([np.zeros(int(here.sum())), curve[here]])
        told = ~np.isnan(values).any(axis=1)
        rates = np.full(len(values), np.nan)
        if told.any():
            rates[told] = PchipInterpolator((0, *horizons_months), values[told], axis=1)(month)
        read[here] = rates
    return read
