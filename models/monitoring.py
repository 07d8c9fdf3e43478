"""Live forecasts beside the cash that has come since, and a warning when it leaves its interval.

Cash to date of a group of loans scatters for two reasons. Each loan pays in lumps: the variance of
its rate is at most the mean of its square, which past loans of that age tell as a share of the mean
(a compound Poisson law). And loans of a vintage, and of a region in it, share their luck
(`models.package_distribution.SharedRisk`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.age import CUT_OFF
from features.horizons import HORIZONS_MONTHS, rate_column
from features.months import month_number
from features.portfolio import Portfolio
from features.recent_cash import Window, latest_window, loans_in, net_by_month
from models.curve_age import rate_at_age
from models.errors import MonitoringError
from models.package_distribution import SharedRisk, vintage_period

Array = NDArray[np.float64]
LEVEL: Final = 0.99
_NEEDED: Final = ("loan_id", "package_id", "model_version", CUT_OFF, "ead", "asset_class", "region")
# Past loans whose payments tell how lumpy cash is.
_MOST_LOANS: Final = 50_000
_AGES: Final = (1, *HORIZONS_MONTHS)


@dataclass(frozen=True)
class LiveForecasts:
    """Valued loans with their forecasts as they were made, and the cash that came since.

    Attributes
    ----------
    loans : polars.DataFrame
        As `of` was given, without loans that have no forecast.
    horizons_months : tuple of int
        Horizons of the curve.
    cash : polars.DataFrame
        `loan_id`, `month` (as `features.months.month_number`), `net_amount` (currency).
    last_month : int
        Last booked month.
    """

    loans: pl.DataFrame
    horizons_months: tuple[int, ...]
    cash: pl.DataFrame
    last_month: int

    @classmethod
    def of(cls, forecasts: pl.DataFrame, portfolio: Portfolio) -> Self:
        """Forecasts and the cash of their loans.

        Parameters
        ----------
        forecasts : polars.DataFrame
            A row a loan and valuation: `loan_id`, `package_id`, `model_version`, `cut_off_date`,
            `ead` (currency), `asset_class`, `region` and the rates of the curve
            (`recovery_rate_06m` ...) as `models.scoring.score_loans` gave them.
        portfolio : Portfolio
            What is known now.

        Raises
        ------
        MonitoringError
            When a column is absent or the curve is.
        features.errors.PortfolioError
            When recoveries are undated.
        """
        horizons = tuple(h for h in HORIZONS_MONTHS if rate_column(h) in forecasts.columns)
        absent = [name for name in _NEEDED if name not in forecasts.columns]
        if absent or not horizons:
            raise MonitoringError(
                f"forecasts lack {', '.join(absent or [rate_column(HORIZONS_MONTHS[0])])}:"
                " monitoring needs the scores as they were given, with package, model and cut-off"
            )
        last = latest_window(portfolio.meta, 1).last
        loans = forecasts.drop_nulls(rate_column(horizons[0])).filter(pl.col("ead") > 0)
        # A loan that was valued twice is looked up once, from the earlier cut-off on.
        since = loans.group_by("loan_id").agg(pl.col(CUT_OFF).min())
        first = int(since.select(month_number(pl.col(CUT_OFF)).min()).item() or last)
        cash = net_by_month(portfolio, since, Window(first + 1, last))
        return cls(loans, horizons, cash, last)

    @property
    def booked_months(self) -> range:
        """Booked months from the first cut-off until the last loan is past its curve."""
        ends = self.loans.select(
            month_number(pl.col(CUT_OFF).min()).alias("first"),
            month_number(pl.col(CUT_OFF).max()).alias("last") + self.horizons_months[-1],
        ).row(0)
        if None in ends:
            return range(0)
        return range(ends[0] + 1, min(ends[1], self.last_month) + 1)

    def to_date(self, month: int | None = None) -> pl.DataFrame:
        """Forecast and realised cash of each loan from its cut-off to the end of a month.

        Parameters
        ----------
        month : int, optional
            The month, as `features.months.month_number`; by default the last booked one.

        Returns
        -------
        polars.DataFrame
            The loans without their rates, with `months` (age at that month, at most the last
            horizon of the curve), `forecast_rate` and `actual_rate` (net, fractions of EAD). Loans
            whose cut-off is not before that month are left out.
        """
        look = self.last_month if month is None else month
        cut_off = month_number(pl.col(CUT_OFF))
        live = self.loans.with_columns(
            months=pl.min_horizontal(look - cut_off, self.horizons_months[-1])
        ).filter(pl.col("months") > 0)
        curve = live.select(rate_column(h) for h in self.horizons_months).to_numpy()
        rates = rate_at_age(curve, self.horizons_months, live["months"].to_numpy())
        key = ["loan_id", CUT_OFF]
        paid = (
            live.select(*key, "months")
            .unique()
            .join(self.cash, on="loan_id")
            .filter(pl.col("month") > cut_off, pl.col("month") <= cut_off + pl.col("months"))
            .group_by(key)
            .agg(pl.col("net_amount").sum())
        )
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
        From `LiveForecasts.to_date`.
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
        over forecast); `p_value` (two-sided, of cash as far from what was forecast); `warning`
        (`below`, `above` or null).

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
    law = stats.gamma(mean**2 / spread, scale=spread / mean)
    low, high = law.ppf(tail), law.ppf(1 - tail)
    paid = told["actual_amount"].to_numpy()
    p_value = np.minimum(2 * np.minimum(law.cdf(paid), law.sf(paid)), 1.0)
    ends = told.with_columns(
        low_amount=pl.Series(low), high_amount=pl.Series(high), p_value=pl.Series(p_value)
    )
    actual = pl.col("actual_amount")
    return ends.select(
        *by,
        "loans",
        "months",
        "forecast_amount",
        "actual_amount",
        "low_amount",
        "high_amount",
        "p_value",
        ratio=actual / pl.col("forecast_amount"),
        warning=pl.when(actual < pl.col("low_amount"))
        .then(pl.lit("below"))
        .when(actual > pl.col("high_amount"))
        .then(pl.lit("above")),
    )


def _lumps(loans: pl.DataFrame, lumps: pl.DataFrame) -> pl.Series:
    if lumps.is_empty():
        raise MonitoringError("no past loan has paid: nothing tells how lumpy cash is")
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
