"""Accuracy by loan and by money, with intervals; calibration by tenth of the forecast."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.validation.bootstrap import Interval, sums_interval
from training.validation.thin import too_few

Array = NDArray[np.float64]
TENTHS: Final = 10


@dataclass(frozen=True)
class Figure:
    """A figure with its interval.

    Attributes
    ----------
    value : float, optional
        Missing where it is not defined.
    interval : Interval
        Bootstrap interval.
    """

    value: float | None
    interval: Interval


def accuracy_figures(
    actual: Array, forecast: Array, weight: Array, clusters: NDArray[Any] | None = None
) -> dict[str, Figure]:
    """R2, MAE (weighted: the weighted MAD), and RMSE of forecast rates, weighted.

    With weights of 1 they are those of `training.metrics.accuracy`; with EAD the money's own.

    Parameters
    ----------
    actual, forecast : array, shape (loans,)
        Recovery or loss rates, fractions of EAD.
    weight : array, shape (loans,)
        1 a loan, or EAD.
    clusters : array, shape (loans,), optional
        See `training.validation.bootstrap.sums_interval`.

    Returns
    -------
    dict of str to Figure
        `r2` (1 - weighted squared error over weighted variance), `mae` and `rmse` (rate points).
    """
    error = actual - forecast
    # About the mean, so that the variance is no small difference of large sums.
    centred = actual - np.average(actual, weights=weight)
    parts = (np.ones_like(error), centred, centred**2, error**2, np.abs(error))
    columns = np.stack([weight * part for part in parts], axis=1)
    sums = columns.sum(axis=0)
    figures = {}
    for name, statistic in _STATISTICS.items():
        if name == "r2" and np.ptp(actual) == 0:
            note = "outcomes are all one: R2 is not defined"
            figures[name] = Figure(None, Interval(None, None, len(actual), note=note))
        else:
            interval = sums_interval(statistic, columns, clusters)
            figures[name] = Figure(float(statistic(*sums)), interval)
    return figures


def _r2(w: Any, y: Any, yy: Any, squared: Any, absolute: Any) -> Any:
    return 1 - squared / (yy - y**2 / w)


def _mae(w: Any, y: Any, yy: Any, squared: Any, absolute: Any) -> Any:
    return absolute / w


def _rmse(w: Any, y: Any, yy: Any, squared: Any, absolute: Any) -> Any:
    return np.sqrt(squared / w)


_STATISTICS: Final[dict[str, Callable[..., Any]]] = {"r2": _r2, "mae": _mae, "rmse": _rmse}


def calibration_table(actual: Array, forecast: Array, ead: Array) -> pl.DataFrame:
    """Forecast and outcome by tenth of the loans in order of forecast.

    Equal forecasts stay together, so that a tenth may hold more or fewer, or be absent.

    Returns
    -------
    polars.DataFrame
        `tenth` (1 to 10, rising with the forecast), `loans`, `ead_amount`, `lowest_rate`,
        `highest_rate` (of the forecast), `forecast_rate`, `actual_rate` (by EAD), `deviation_rate`
        (missing where nothing was forecast), `note` (too few, else missing).
    """
    edges = np.quantile(forecast, np.arange(1, TENTHS) / TENTHS)
    tenth = np.searchsorted(edges, forecast, side="left") + 1
    rows = []
    for place in np.unique(tenth):
        held = tenth == place
        money = ead[held]
        expected, came = float(forecast[held] @ money), float(actual[held] @ money)
        rows.append(
            (
                int(place),
                int(held.sum()),
                float(money.sum()),
                float(forecast[held].min()),
                float(forecast[held].max()),
                expected / float(money.sum()),
                came / float(money.sum()),
                came / expected - 1 if expected > 0 else None,
                too_few(money),
            )
        )
    return pl.DataFrame(rows, schema=_CALIBRATION, orient="row")


_CALIBRATION: Final = {
    "tenth": pl.Int64,
    "loans": pl.Int64,
    "ead_amount": pl.Float64,
    "lowest_rate": pl.Float64,
    "highest_rate": pl.Float64,
    "forecast_rate": pl.Float64,
    "actual_rate": pl.Float64,
    "deviation_rate": pl.Float64,
    "note": pl.String,
}
