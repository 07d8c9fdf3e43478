"""Fitting how sure a loan's forecast is: quantiles of what came of forecasts made out of time."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from models.intervals import NOTHING_RATE, POOLED, RateDistribution, RateGroup
from training.errors import TrainingError

Array = NDArray[np.float64]
# Probabilities at which quantiles are kept, dense in the tails.
_GRID: Final = (
    *(0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(round(0.05 * step, 2) for step in range(2, 19)),
    *(0.925, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0),
)
LEAST_RESIDUALS: Final = 100
# A class with fewer is pooled with the other thin ones, or with all loans.
_LEAST_CLASS: Final = 400
_LEAST_BIN: Final = 100
_MOST_BINS: Final = 20


def fit_rate_distribution(residuals: pl.DataFrame) -> RateDistribution:
    """Fit on residuals of forecasts made out of time.

    Parameters
    ----------
    residuals : polars.DataFrame
        `forecast_rate`, `realised_rate` and `asset_class`, and where the rates are those at a
        horizon `horizon_months`; see `training.walk_forward`.

    Raises
    ------
    TrainingError
        When there are fewer than `LEAST_RESIDUALS`, a rate is missing, or horizons differ.
    """
    horizons = (
        residuals["horizon_months"].unique().to_list()
        if "horizon_months" in residuals.columns
        else [None]
    )
    if residuals.height < LEAST_RESIDUALS:
        raise TrainingError(
            f"{residuals.height} residuals say too little about a distribution;"
            f" {LEAST_RESIDUALS} are needed: bring more vintages"
        )
    if len(horizons) != 1:
        raise TrainingError(f"residuals at several horizons ({horizons}); give one")
    for column in ("forecast_rate", "realised_rate"):
        values = residuals[column].to_numpy()
        if not np.isfinite(values).all():
            raise TrainingError(f"{column} is missing for a residual; leave the loan out")
    counts = dict(residuals["asset_class"].value_counts().iter_rows())
    classes = sorted(name for name, count in counts.items() if count >= _LEAST_CLASS)
    groups = {POOLED: _group(residuals)} | {
        name: _group(residuals.filter(pl.col("asset_class") == name))
        for name in classes
        if name != POOLED
    }
    thin = {name: count for name, count in sorted(counts.items()) if name not in groups}
    return RateDistribution(
        horizon_months=horizons[0],
        probabilities=_GRID,
        groups=groups,
        pooled_classes=thin,
    )


def _group(residuals: pl.DataFrame) -> RateGroup:
    forecast = residuals["forecast_rate"].to_numpy()
    realised = residuals["realised_rate"].to_numpy()
    count = int(np.clip(len(forecast) // _LEAST_BIN, 1, _MOST_BINS))
    edges = np.unique(np.quantile(forecast, np.linspace(0, 1, count + 1)[1:-1]))
    bins = np.searchsorted(edges, forecast, side="right")
    rows = [np.flatnonzero(bins == number) for number in np.unique(bins)]
    # Ties in the forecast may leave bins that are thinner than asked for; they join the one before.
    joined: list[NDArray[np.intp]] = []
    for members in rows:
        if joined and len(members) < _LEAST_BIN // 2:
            joined[-1] = np.concatenate([joined[-1], members])
        else:
            joined.append(members)
    loans = np.array([len(members) for members in joined], dtype=np.float64)
    table = np.array([np.quantile(realised[m], _GRID, method="weibull") for m in joined])
    return RateGroup(
        loans=tuple(len(members) for members in joined),
        forecast=tuple(float(forecast[m].mean()) for m in joined),
        mean=_never_falling(np.array([realised[m].mean() for m in joined]), loans),
        deviation_sd=tuple(float(np.std(realised[m] - forecast[m], ddof=1)) for m in joined),
        # One more loan of each outcome keeps a probability off 0 and 1 (Laplace).
        nothing=tuple(
            -share
            for share in _never_falling(
                np.array(
                    [-(np.sum(realised[m] <= NOTHING_RATE) + 0.5) / (len(m) + 1) for m in joined]
                ),
                loans,
            )
        ),
        # Isotonic regression keeps the order of its inputs: quantiles stay monotone along p too.
        quantiles=tuple(
            tuple(row)
            for row in np.array([_never_falling(column, loans) for column in table.T]).T.tolist()
        ),
    )


def _never_falling(values: Array, weights: Array) -> tuple[float, ...]:
    return tuple(isotonic_regression(values, weights=weights).x.tolist())
