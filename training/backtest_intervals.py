"""How sure the forecasts of a backtest were: from the misses of earlier folds known by then."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from features.exposure import EAD
from features.portfolio import Portfolio
from features.targets import realised_recovery
from models.intervals import RateDistribution
from models.package_distribution import SharedRisk, package_interval, vintage_period
from models.scoring import QUANTILES
from training.backtest_loans import actual_column, forecast_column, of_loans, sampled_ids
from training.errors import TrainingError
from training.evaluation import label_column
from training.interval_fit import LEAST_RESIDUALS, fit_rate_distribution
from training.shared_risk_fit import fit_shared_risk

# Loans of a fold whose misses are kept.
_MOST_RESIDUALS: Final = 5_000
# A package of fewer is its loans' luck.
LEAST_PACKAGE: Final = 50
INTERVAL_COLUMNS: Final = tuple(f"forecast_p{round(100 * p):02d}_rate" for p in QUANTILES)
PACKAGE_SCHEMA: Final[dict[str, Any]] = {
    "fold": pl.Int32,
    "vintage_period": pl.String,
    "package_id": pl.String,
    "loans": pl.Int64,
    EAD: pl.Float64,
    "horizon_months": pl.Int32,
    "forecast_amount": pl.Float64,
    "actual_amount": pl.Float64,
    "p10_amount": pl.Float64,
    "p50_amount": pl.Float64,
    "p90_amount": pl.Float64,
}


@dataclass(frozen=True)
class Spread:
    """How far earlier forecasts had missed, as known on a day.

    Attributes
    ----------
    rates : RateDistribution
        Of a loan's rate.
    shared : SharedRisk, optional
        What loans of a vintage missed together; missing where too few vintages could tell.
    """

    rates: RateDistribution
    shared: SharedRisk | None

    @property
    def months(self) -> int | None:
        """Horizon it speaks of; None is the ultimate."""
        return self.rates.horizon_months


class Misses:
    """Original forecasts of the folds so far, to be held against what is known by a later day."""

    def __init__(self, portfolio: Portfolio, seed: int) -> None:
        self._portfolio, self._seed = portfolio, seed
        self._forecasts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Keep a fold's original forecasts."""
        kept = sampled_ids(rows["loan_id"], _MOST_RESIDUALS, self._seed)
        self._forecasts.append(
            rows.filter(pl.col("loan_id").is_in(kept.implode())).select(
                "loan_id",
                "vintage_date",
                pl.col("region", "asset_class").fill_null(""),
                pl.col(EAD).alias("ead"),
                "^forecast_rate.*$",
            )
        )

    def spread(self, day: date, horizons_months: tuple[int, ...]) -> Spread | None:
        """Fit at the longest horizon with enough misses that were known on a day.

        Parameters
        ----------
        day : datetime.date
            Only cash recorded by then counts. Undated outcomes are the final ones.
        horizons_months : tuple of int
            Of the model whose forecasts it is for; empty where outcomes are undated.
        """
        if not self._forecasts:
            return None
        forecasts = pl.concat(self._forecasts)
        held = of_loans(self._portfolio, forecasts["loan_id"])
        dated = self._portfolio.meta.recovery_timing != "none"
        outcomes = realised_recovery(held, day if dated else None).collect()
        known = forecasts.join(
            outcomes.select("loan_id", "observed_months", "^recovery_rate.*$"), on="loan_id"
        ).sort("loan_id")
        for months in horizons_months[::-1] if dated else (None,):
            residuals = _residuals(known, months)
            if residuals.height >= LEAST_RESIDUALS:
                return _fitted(residuals)
        return None


def _residuals(known: pl.DataFrame, months: int | None) -> pl.DataFrame:
    forecast, label = forecast_column(months), label_column(months)
    watched = pl.col(forecast).is_not_null() & pl.col(label).is_not_null()
    if months is not None:
        watched &= pl.col("observed_months") >= months
    return known.filter(watched).select(
        *("loan_id", "vintage_date", "region", "asset_class", "ead"),
        forecast_rate=forecast,
        realised_rate=label,
        horizon_months=pl.lit(months, dtype=pl.Int32),
    )


def _fitted(residuals: pl.DataFrame) -> Spread:
    rates = fit_rate_distribution(residuals)
    try:
        return Spread(rates, fit_shared_risk(residuals))
    except TrainingError:
        # Too few vintages yet: loans have an interval, packages have none.
        return Spread(rates, None)


def with_intervals(rows: pl.DataFrame, spread: Spread | None) -> pl.DataFrame:
    """Rows with `INTERVAL_COLUMNS` and `interval_months`; missing where there is no spread."""
    if spread is None:
        return rows.with_columns(
            *(pl.lit(None, dtype=pl.Float64).alias(name) for name in INTERVAL_COLUMNS),
            interval_months=pl.lit(None, dtype=pl.Int32),
        )
    forecast = rows[forecast_column(spread.months)]
    told = forecast.is_not_null()
    quantiles = spread.rates.quantiles(
        forecast.fill_null(0.0).to_numpy(),
        rows["asset_class"].fill_null(""),
        np.array(QUANTILES),
    )
    return rows.with_columns(
        *(
            pl.Series(name, np.ascontiguousarray(quantiles[:, place])).set(~told, None)
            for place, name in enumerate(INTERVAL_COLUMNS)
        ),
        interval_months=pl.lit(spread.months, dtype=pl.Int32),
    )


def package_rows(rows: pl.DataFrame, spread: Spread | None, months: int | None) -> pl.DataFrame:
    """Totals of the vintages and packages of a fold, with P10 to P90 where they can be told.

    Parameters
    ----------
    rows : polars.DataFrame
        Original forecasts of one fold.
    spread : Spread, optional
        From `Misses.spread`.
    months : int, optional
        Horizon of the totals where there is no spread.

    Returns
    -------
    polars.DataFrame
        Columns of `PACKAGE_SCHEMA`: a row a vintage period (`package_id` missing), and one a
        package of `LEAST_PACKAGE` loans or more. `actual_amount` is missing while a loan's outcome
        is.
    """
    at = spread.months if spread else months
    shared = spread.shared if spread else None
    length = shared.vintage_months if shared else 12
    forecast, actual = forecast_column(at), actual_column(at)
    told = rows.filter(pl.col(forecast).is_not_null(), pl.col(EAD) > 0)
    told = told.with_columns(period=vintage_period(told["vintage_date"], length))
    groups = [(name, None, held) for (name,), held in _parts(told, "period")]
    packages = told.filter(pl.col("package_id").is_not_null())
    for (period, package), held in _parts(packages, "period", "package_id"):
        if held.height >= LEAST_PACKAGE:
            groups.append((period, package, held))
    found = []
    for period, package, held in groups:
        row = {
            "fold": held["fold"][0],
            "vintage_period": _period_name(period, length),
            "package_id": package,
            "loans": held.height,
            EAD: held[EAD].sum(),
            "horizon_months": at,
            "forecast_amount": held[EAD].dot(held[forecast]),
            "actual_amount": held[EAD].dot(held[actual])
            if held[actual].null_count() == 0
            else None,
        }
        if spread is not None and shared is not None and row["forecast_amount"] > 0:
            total = package_interval(
                held[EAD].to_numpy(),
                held[forecast].to_numpy(),
                held["asset_class"],
                held["vintage_date"],
                held["region"],
                spread.rates,
                shared,
            )
            row |= {f"p{p}_amount": getattr(total, f"p{p}_amount") for p in (10, 50, 90)}
        found.append(row)
    return pl.DataFrame(found, schema=PACKAGE_SCHEMA)


def _parts(rows: pl.DataFrame, *by: str) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    parts = rows.partition_by(*by, as_dict=True)
    return sorted(parts.items())


def _period_name(period: int, months: int) -> str:
    """Name of a vintage period: 2021, 2021H2, 2021Q3."""
    year, part = divmod(period * months, 12)
    return {12: f"{year}", 6: f"{year}H{part // 6 + 1}", 3: f"{year}Q{part // 3 + 1}"}[months]
