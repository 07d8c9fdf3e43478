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
        over forecast, null where that is not above 0); `p_value` (two-sided, of cash as far from
        what was forecast); `warning` (`below`, `above` or null). Where no loan of a group has a
        forecast above 0, nothing tells how far cash may scatter: ends, p and warning are null.

    Raises
    ------
    ValueError
        When `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    known = loans.with_columns(
        vintage=vintage_quarter(),
        period=vintage_period(loans[CUT_OFF], shared.vintage_months),
        forecast=pl.col("ead") * pl.col("forecast_rate"),
        actual=pl.col("ead") * pl.col("actual_rate"),
        lump=pl.col("ead") * _lumps(loans, lumps),
    ).with_columns(due=pl.col("forecast").clip(lower_bound=0.0))
    forecast, due = pl.col("forecast").sum(), pl.col("due").sum()
    groups = known.group_by(by).agg(
        loans=pl.len(),
        months=pl.when(due > 0)
        .then((pl.col("months") * pl.col("due")).sum() / due)
        .otherwise(pl.col("months").mean()),
        forecast_amount=forecast,
        actual_amount=pl.col("actual").sum(),
        due=due,
        ratio=pl.when(forecast > 0).then(pl.col("actual").sum() / forecast),
    )
    told = groups.join(_variances(known, by, shared), on=by, nulls_equal=True).sort(by)
    actual = pl.col("actual_amount")
    return _with_band(told, level).select(
        *by,
        "loans",
        "months",
        "forecast_amount",
        "actual_amount",
        "low_amount",
        "high_amount",
        "p_value",
        "ratio",
        warning=pl.when(actual < pl.col("low_amount"))
        .then(pl.lit("below"))
        .when(actual > pl.col("high_amount"))
        .then(pl.lit("above")),
    )


def vintage_quarter() -> pl.Expr:
    """Cut-off quarter of a loan, such as 2024Q3."""
    day = pl.col(CUT_OFF)
    return day.dt.strftime("%Y") + "Q" + day.dt.quarter().cast(pl.String)


def _variances(known: pl.DataFrame, by: Sequence[str], shared: SharedRisk) -> pl.DataFrame:
    """`variance` of the cash of each group: of its own lumps, and of what its loans share."""
    own = known.group_by(by).agg(own=(pl.col("due") * pl.col("lump")).sum())
    cells = known.group_by(*by, "period", "region").agg(pl.col("due").sum())
    periods = cells.group_by(*by, "period").agg(pl.col("due").sum())
    for table, name in ((periods, "vintages"), (cells, "regions")):
        squares = table.group_by(by).agg((pl.col("due") ** 2).sum().alias(name))
        own = own.join(squares, on=by, nulls_equal=True)
    return own.select(
        *by,
        variance=pl.col("own")
        + shared.vintage_sd**2 * pl.col("vintages")
        + shared.region_sd**2 * pl.col("regions"),
    )


def _with_band(told: pl.DataFrame, level: float) -> pl.DataFrame:
    """The groups with `low_amount`, `high_amount` and `p_value`; null where no cash is due."""
    lumpy = (pl.col("due") > 0) & (pl.col("variance") > 0)
    judged = told.select(pl.when(lumpy).then(pl.col("due", "variance")))
    mean, spread = judged.cast(pl.Float64).fill_null(np.nan).to_numpy().T
    # Gamma, as sums of lumps are: skewed where few are due, near normal where many. Where costs
    # are forecast beyond cash, they are no lumps: they move the law as a whole.
    costs = told["due"].to_numpy() - told["forecast_amount"].to_numpy()
    law = stats.gamma(mean**2 / spread, loc=-costs, scale=spread / mean)
    tail = (1 - level) / 2
    paid = told["actual_amount"].to_numpy()
    p_value = np.minimum(2 * np.minimum(law.cdf(paid), law.sf(paid)), 1.0)
    ends = {"low_amount": law.ppf(tail), "high_amount": law.ppf(1 - tail), "p_value": p_value}
    return told.with_columns(
        pl.Series(name, values, dtype=pl.Float64).fill_nan(None) for name, values in ends.items()
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
