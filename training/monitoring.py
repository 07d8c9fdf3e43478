"""Live forecasts beside the cash that has come since, and a warning when it leaves its interval.

Cash to date of a group of loans scatters for two reasons. Each loan pays in lumps: the variance of
its rate is at most the mean of its square, which past loans of that age tell as a share of the mean
(a compound Poisson law). And loans of a vintage, and of a region in it, share their luck
(`models.package_distribution.SharedRisk`).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.age import CUT_OFF
from features.horizons import HORIZONS_MONTHS, rate_column
from features.months import month_number
from features.portfolio import Portfolio
from models.package_distribution import SharedRisk, vintage_period
from training.errors import TrainingError
from training.recent_cash import Window, latest_window, loans_in, net_by_month

Array = NDArray[np.float64]
LEVEL: Final = 0.99
_NEEDED: Final = ("loan_id", "package_id", "model_version", CUT_OFF, "ead", "asset_class", "region")
# Past loans whose payments tell how lumpy cash is.
_MOST_LOANS: Final = 50_000
_AGES: Final = (1, *HORIZONS_MONTHS)


def cash_to_date(forecasts: pl.DataFrame, portfolio: Portfolio) -> pl.DataFrame:
    """Forecast and realised cash of each valued loan, from its cut-off to the last booked month.

    Parameters
    ----------
    forecasts : polars.DataFrame
        A row a loan and valuation: `loan_id`, `package_id`, `model_version`, `cut_off_date`, `ead`
        (currency), `asset_class`, `region` and the rates of the curve (`recovery_rate_06m` ...)
        as `models.scoring.score_loans` gave them. Loans without a forecast are left out.
    portfolio : Portfolio
        What is known now.

    Returns
    -------
    polars.DataFrame
        Those columns without the rates, with `months` (age of the last booked month, at most the
        last horizon of the curve), `forecast_rate` and `actual_rate` (net, fractions of EAD). Loans
        without a booked month are left out.

    Raises
    ------
    TrainingError
        When a column is absent or the curve is, or recoveries are undated.
    """
    horizons = [h for h in HORIZONS_MONTHS if rate_column(h) in forecasts.columns]
    absent = [name for name in _NEEDED if name not in forecasts.columns]
    if absent or not horizons:
        raise TrainingError(
            f"forecasts lack {', '.join(absent or [rate_column(HORIZONS_MONTHS[0])])}: monitoring"
            " needs the scores as they were given, with package, model and cut-off"
        )
    last = latest_window(portfolio.meta, 1).last
    live = (
        forecasts.drop_nulls(rate_column(horizons[0]))
        .with_columns(months=pl.min_horizontal(last - month_number(pl.col(CUT_OFF)), horizons[-1]))
        .filter(pl.col("months") > 0, pl.col("ead") > 0)
    )
    curve = live.select(rate_column(h) for h in horizons).to_numpy()
    ages = np.array([0, *horizons], dtype=np.float64)
    whole = np.column_stack([np.zeros(live.height), curve])
    months = live["months"].to_numpy()
    rates = [float(np.interp(age, ages, row)) for age, row in zip(months, whole, strict=True)]
    window = Window(int(last) - horizons[-1], int(last))
    cash = net_by_month(portfolio, live.select("loan_id", CUT_OFF).unique(), window)
    paid = (
        live.select("loan_id", "model_version", CUT_OFF, "months")
        .join(cash, on="loan_id")
        .filter(pl.col("month") <= month_number(pl.col(CUT_OFF)) + pl.col("months"))
        .group_by("loan_id", "model_version", CUT_OFF)
        .agg(pl.col("net_amount").sum())
    )
    key = ["loan_id", "model_version", CUT_OFF]
    return (
        live.with_columns(forecast_rate=pl.Series(rates, dtype=pl.Float64))
        .join(paid, on=key, how="left", maintain_order="left")
        .select(
            *_NEEDED,
            "months",
            "forecast_rate",
            actual_rate=pl.col("net_amount").fill_null(0.0) / pl.col("ead"),
        )
    )


def lumpiness(portfolio: Portfolio) -> pl.DataFrame:
    """How lumpy the cash of past loans was: mean square over mean of their rates, by age.

    Returns
    -------
    polars.DataFrame
        `asset_class`, `months`, `lump_rate` (fraction of EAD); classes and ages without cash are
        absent.
    """
    window = latest_window(portfolio.meta, _AGES[-1])
    loans = loans_in(portfolio, window, _MOST_LOANS).filter(pl.col("from_months") == 0)
    cash = net_by_month(portfolio, loans, window).join(
        loans.select("loan_id", CUT_OFF, "asset_class", "ead_amount"), on="loan_id"
    )
    age = pl.col("month") - month_number(pl.col(CUT_OFF))
    tables = []
    for months in _AGES:
        watched = loans.filter(pl.col("to_months") >= months).select("loan_id")
        rates = (
            cash.filter(age <= months)
            .join(watched, on="loan_id", how="semi")
            .group_by("loan_id", "asset_class")
            .agg(rate=pl.col("net_amount").sum() / pl.col("ead_amount").first())
        )
        tables.append(
            rates.group_by("asset_class")
            .agg(total=pl.col("rate").sum(), squares=(pl.col("rate") ** 2).sum())
            .filter(pl.col("total") > 0)
            .select(
                "asset_class",
                months=pl.lit(months, dtype=pl.Int32),
                lump_rate=pl.col("squares") / pl.col("total"),
            )
        )
    return pl.concat(tables).sort("asset_class", "months")


def monitor(
    loans: pl.DataFrame,
    lumps: pl.DataFrame,
    shared: SharedRisk,
    by: Sequence[str] = ("package_id", "model_version"),
    level: float = LEVEL,
) -> pl.DataFrame:
    """Realised against forecast to date by group, with an interval and a warning.

    Parameters
    ----------
    loans : polars.DataFrame
        From `cash_to_date`.
    lumps : polars.DataFrame
        From `lumpiness`; an age takes the next one told, a class unknown there the largest of all.
    shared : SharedRisk
        Of the model; `SharedRisk.none()` where it tells none.
    by : sequence of str
        Columns that make a group: `package_id`, `model_version`, `vintage` (cut-off quarter).
    level : float
        Probability that cash as forecast lies within the interval, at one look.

    Returns
    -------
    polars.DataFrame
        The columns of `by`, sorted; `loans`; `months` (mean age, by forecast cash);
        `forecast_amount`, `actual_amount`, `low_amount`, `high_amount`; `ratio` (累计回收率, actual
        over forecast); `warning` (`below`, `above` or null).

    Raises
    ------
    ValueError
        When `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    period = vintage_period(loans[CUT_OFF], shared.vintage_months)
    known = loans.with_columns(
        vintage=pl.col(CUT_OFF).dt.strftime("%Y") + "Q" + pl.col(CUT_OFF).dt.quarter().cast(str),
        period=period,
        forecast=pl.col("ead") * pl.col("forecast_rate"),
        actual=pl.col("ead") * pl.col("actual_rate"),
        lump=pl.col("ead") * _lumps(loans, lumps),
    )
    groups = known.group_by(by).agg(
        loans=pl.len(),
        months=(pl.col("months") * pl.col("forecast")).sum() / pl.col("forecast").sum(),
        forecast_amount=pl.col("forecast").sum(),
        actual_amount=pl.col("actual").sum(),
        own=(pl.col("forecast") * pl.col("lump")).sum(),
    )
    cells = known.group_by(*by, "period", "region").agg(pl.col("forecast").sum())
    periods = cells.group_by(*by, "period").agg(pl.col("forecast").sum())
    squares = [
        table.group_by(by).agg((pl.col("forecast") ** 2).sum().alias(name))
        for table, name in ((periods, "vintages"), (cells, "regions"))
    ]
    for table in squares:
        groups = groups.join(table, on=by, nulls_equal=True)
    variance = (
        pl.col("own")
        + shared.vintage_sd**2 * pl.col("vintages")
        + shared.region_sd**2 * pl.col("regions")
    )
    # Gamma, as sums of lumps are: skewed where few are due, near normal where many are.
    told = groups.filter(pl.col("forecast_amount") > 0).with_columns(variance=variance).sort(by)
    mean, spread = told["forecast_amount"].to_numpy(), told["variance"].to_numpy()
    tail = (1 - level) / 2
    low, high = (
        stats.gamma.ppf(p, mean**2 / spread, scale=spread / mean) for p in (tail, 1 - tail)
    )
    ends = told.with_columns(low_amount=pl.Series(low), high_amount=pl.Series(high))
    actual = pl.col("actual_amount")
    return ends.select(
        *by,
        "loans",
        "months",
        "forecast_amount",
        "actual_amount",
        "low_amount",
        "high_amount",
        ratio=actual / pl.col("forecast_amount"),
        warning=pl.when(actual < pl.col("low_amount"))
        .then(pl.lit("below"))
        .when(actual > pl.col("high_amount"))
        .then(pl.lit("above")),
    )


def _lumps(loans: pl.DataFrame, lumps: pl.DataFrame) -> pl.Series:
    if lumps.is_empty():
        raise TrainingError("no past loan has paid: nothing tells how lumpy cash is")
    ages = np.array(sorted(lumps["months"].unique()))
    place = np.searchsorted(ages, loans["months"].to_numpy()).clip(max=len(ages) - 1)
    wanted = loans.select("asset_class", months=pl.Series(ages[place], dtype=pl.Int32))
    found = wanted.join(
        lumps, on=["asset_class", "months"], how="left", maintain_order="left"
    ).join(
        lumps.group_by("months").agg(largest=pl.col("lump_rate").max()),
        on="months",
        how="left",
        maintain_order="left",
    )
    return found.select(pl.coalesce("lump_rate", "largest")).to_series()
