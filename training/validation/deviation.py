"""Deviation of cash and of loss: by how much, with what certainty, and which way."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.validation.bootstrap import Interval, sums_interval
from training.validation.thin import LEAST_CLUSTERS, effective_loans

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Deviation:
    """Deviation rate (偏差率) of forecast cash.

    Attributes
    ----------
    loans : int
        Loans compared.
    forecast_amount, actual_amount : float
        Cash, currency.
    rate : float, optional
        (actual - forecast) / forecast; below 0: the forecast was too high. Missing where nothing
        was forecast.
    interval : Interval
        Of the rate.
    """

    loans: int
    forecast_amount: float
    actual_amount: float
    rate: float | None
    interval: Interval

    @property
    def collection_ratio(self) -> float | None:
        """Cumulative collection ratio, actual over forecast cash (累计回收率)."""
        return None if self.rate is None else 1 + self.rate

    @property
    def light(self) -> Literal["green", "amber", "red"] | None:
        """Traffic light (practice, from market data): amber beyond 10%, red beyond 20%."""
        if self.rate is None:
            return None
        return "red" if abs(self.rate) > 0.2 else "amber" if abs(self.rate) > 0.1 else "green"


def deviation(
    actual_amount: Array, forecast_amount: Array, clusters: NDArray[Any] | None = None
) -> Deviation:
    """Deviation rate of cash with its bootstrap interval, by cluster where they are given.

    Parameters
    ----------
    actual_amount, forecast_amount : array, shape (loans,)
        Cumulative cash by loan at one horizon, currency.
    clusters : array, shape (loans,), optional
        See `training.validation.bootstrap.sums_interval`.
    """
    forecast, actual = float(np.sum(forecast_amount)), float(np.sum(actual_amount))
    rate = (actual - forecast) / forecast if forecast > 0 else None
    if rate is None:
        interval = Interval(None, None, len(actual_amount), note="no cash was forecast")
    else:
        columns = np.stack([actual_amount, forecast_amount], axis=1)
        interval = sums_interval(lambda a, f: a / f - 1, columns, clusters)
    return Deviation(len(actual_amount), forecast, actual, rate, interval)


@dataclass(frozen=True)
class DeviationTest:
    """Whether loans deviate from 0, or a group of them from the others.

    Attributes
    ----------
    difference : float
        Deviation rate, less that of the others where a group is tested.
    standard_error : float
        Linearised; by cluster where they are given.
    degrees : float
        Degrees of freedom: clusters - 1, else effective loans - 1.
    p_value : float
        Two-sided.
    """

    difference: float
    standard_error: float
    degrees: float
    p_value: float


def deviation_test(
    actual_amount: Array,
    forecast_amount: Array,
    group: NDArray[np.bool_] | None = None,
    clusters: NDArray[Any] | None = None,
) -> DeviationTest | None:
    """Test that the deviation rate of all loans is 0, or that of a group like that of the others.

    Segments of a report are tested against the others and not against 0: a forecast that is 10%
    too high everywhere is a fault of the whole, told once in its total. The ratios are linearised
    (Cochran 1977, sec. 2.11 and 6.4; by cluster Liang & Zeger 1986); clusters hold loans of both
    sides, so what a vintage does to all cancels.

    Parameters
    ----------
    actual_amount, forecast_amount : array, shape (loans,)
        Cumulative cash by loan at one horizon, currency.
    group : array of bool, shape (loans,), optional
        The loans of the group; without one all loans are tested against 0.
    clusters : array, shape (loans,), optional
        Cluster of each loan. Fewer than `LEAST_CLUSTERS` are not used: loans then count as
        independent.

    Returns
    -------
    DeviationTest, optional
        None where one side has no forecast cash or that of one loan, or nothing varies.
    """
    scores: NDArray[Any] = np.zeros(len(actual_amount))
    tested = np.ones(len(actual_amount), dtype=bool) if group is None else group
    sides = [(tested, 1.0)] if group is None else [(tested, 1.0), (~tested, -1.0)]
    difference = -1.0 if group is None else 0.0
    for side, sign in sides:
        forecast = float(np.sum(forecast_amount[side]))
        if forecast <= 0 or side.sum() < 2:
            return None
        ratio = float(np.sum(actual_amount[side])) / forecast
        difference += sign * ratio
        scores[side] = sign * (actual_amount[side] - ratio * forecast_amount[side]) / forecast
    units: NDArray[Any] = scores
    # Money in few loans leaves few degrees, however many loans stand by.
    degrees = effective_loans(np.maximum(forecast_amount[tested], 0.0)) - 1
    if clusters is not None:
        _, place = np.unique(clusters, return_inverse=True)
        held = len(np.unique(place[tested]))
        if held >= LEAST_CLUSTERS:
            units, degrees = np.bincount(place, weights=scores), held - 1
    error = math.sqrt(float(np.sum(units**2)) * len(units) / (len(units) - 1))
    if error == 0 or degrees <= 0:
        return None
    p_value = 2 * float(stats.t.sf(abs(difference) / error, degrees))
    return DeviationTest(difference, error, degrees, p_value)


@dataclass(frozen=True)
class MoneyBias:
    """Bias of loss by money.

    Attributes
    ----------
    rate : float, optional
        sum(estimated LGD * EAD) / sum(LGD * EAD) - 1.
    interval : Interval
        Of the rate.
    """

    rate: float | None
    interval: Interval

    @property
    def reading(self) -> str:
        """The bias with its sign in words."""
        if self.rate is None:
            return "no loss: the bias is not defined"
        if self.rate == 0:
            return "estimated and realised loss are equal"
        side = "above" if self.rate > 0 else "below"
        lean = "cautious" if self.rate > 0 else "optimistic"
        return f"estimated loss is {abs(self.rate):.1%} {side} what was lost: {lean}"


def money_bias(
    estimated_lgd: Array, realised_lgd: Array, ead: Array, clusters: NDArray[Any] | None = None
) -> MoneyBias:
    """Bias of loss by money, sum(LGD_hat * EAD) / sum(LGD * EAD) - 1 (EBA handbook, backtesting).

    Parameters
    ----------
    estimated_lgd, realised_lgd : array, shape (loans,)
        Loss rates, fractions of EAD.
    ead : array, shape (loans,)
        Exposures, currency.
    clusters : array, shape (loans,), optional
        See `training.validation.bootstrap.sums_interval`.
    """
    columns = np.stack([estimated_lgd * ead, realised_lgd * ead], axis=1)
    estimated, realised = columns.sum(axis=0)
    if realised <= 0:
        return MoneyBias(None, Interval(None, None, len(ead), note="there was no loss"))
    interval = sums_interval(lambda e, r: e / r - 1, columns, clusters)
    return MoneyBias(float(estimated / realised - 1), interval)
