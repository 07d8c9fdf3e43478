"""Forecast intervals and quantiles held against outcomes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """How often outcomes lay within their forecast intervals.

    Attributes
    ----------
    loans : int
        Loans compared.
    within : int
        Outcomes within, ends included.
    rate : float
        Share within.
    low, high : float
        Exact 95% interval of the share, loans counting as independent.
    mean_width : float
        Mean width, rate points.
    """

    loans: int
    within: int
    rate: float
    low: float
    high: float
    mean_width: float


def interval_coverage(actual: Array, low: Array, high: Array) -> Coverage:
    """Coverage and width of forecast intervals, with its exact interval (Clopper & Pearson 1934).

    Parameters
    ----------
    actual, low, high : array, shape (loans,)
        Realised rates and the ends of their forecast intervals.

    Raises
    ------
    ValueError
        When there are no loans, or an interval ends below its start.
    """
    if len(actual) == 0 or (high < low).any():
        raise ValueError(
            f"coverage needs loans and ends in order; {len(actual)} loans, {np.sum(high < low)}"
            " intervals end below their start"
        )
    within = int(np.sum((actual >= low) & (actual <= high)))
    exact = stats.binomtest(within, len(actual)).proportion_ci(0.95, method="exact")
    return Coverage(
        loans=len(actual),
        within=within,
        rate=within / len(actual),
        low=float(exact.low),
        high=float(exact.high),
        mean_width=float(np.mean(high - low)),
    )


def pinball_loss(actual: Array, quantile: Array, probability: float) -> float:
    """Mean pinball loss of forecast quantiles, rate points; lowest at the true quantile.

    Koenker & Bassett (1978): p * (y - q) where the outcome lies above, (1 - p) * (q - y) below.

    Parameters
    ----------
    actual, quantile : array, shape (loans,)
        Realised rates and their forecast quantiles.
    probability : float
        Of the quantile, 0 to 1.

    Raises
    ------
    ValueError
        When `probability` is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"a quantile's probability lies between 0 and 1, not at {probability}")
    over = actual - quantile
    return float(np.mean(np.maximum(probability * over, (probability - 1) * over)))
