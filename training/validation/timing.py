"""When the cash came: months to half the forecast, and shifts of timing apart from amount."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.validation.bootstrap import Interval, sums_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HalfTime:
    """Months until half of the forecast cash is in.

    Attributes
    ----------
    forecast_months : float, optional
        By the forecast curve; None: no cash is forecast.
    actual_months : float, optional
        By the cash that came; None: not reached.
    note : str, optional
        What a missing figure means.
    """

    forecast_months: float | None
    actual_months: float | None
    note: str | None = None

    @property
    def late_months(self) -> float | None:
        """Months late; below 0: early. None where half was not reached."""
        if self.forecast_months is None or self.actual_months is None:
            return None
        return self.actual_months - self.forecast_months


def months_to_reach(
    horizons_months: Sequence[int], cumulative_amount: Array, target_amount: float
) -> float | None:
    """Months at which a cumulative curve first reaches a target; None: not within its horizons.

    The curve is straight between its horizons and starts from nothing at month 0.

    Parameters
    ----------
    horizons_months : sequence of int
        Rising.
    cumulative_amount : array, shape (horizons,)
        Cash by each horizon. May fall where costs exceed cash: the first crossing counts.
    target_amount : float
        Above 0.

    Examples
    --------
    >>> months_to_reach([6, 12, 24], np.array([10.0, 30.0, 40.0]), 20.0)
    9.0
    >>> months_to_reach([6, 12, 24], np.array([10.0, 30.0, 40.0]), 41.0) is None
    True
    """
    months, amounts = [0, *horizons_months], np.concatenate([[0.0], cumulative_amount])
    reached = np.flatnonzero(amounts >= target_amount)
    if len(reached) == 0:
        return None
    place = int(reached[0])
    before, after = amounts[place - 1], amounts[place]
    part = (target_amount - before) / (after - before)
    return float(months[place - 1] + part * (months[place] - months[place - 1]))


def half_time(
    horizons_months: Sequence[int], forecast_amount: Array, actual_amount: Array
) -> HalfTime:
    """Months to reach half the forecast cash, as forecast and as it came.

    Half of what is forecast by the last horizon. Both too little and too late make it late:
    `timing_shift` tells them apart.

    Parameters
    ----------
    horizons_months : sequence of int
        Rising.
    forecast_amount, actual_amount : array, shape (horizons,)
        Cumulative cash of all loans by horizon.
    """
    target = float(forecast_amount[-1]) / 2
    if target <= 0:
        return HalfTime(None, None, "no cash is forecast")
    actual = months_to_reach(horizons_months, actual_amount, target)
    note = None if actual is not None else f"not reached by month {horizons_months[-1]}"
    return HalfTime(months_to_reach(horizons_months, forecast_amount, target), actual, note)


@dataclass(frozen=True)
class TimingShift:
    """Deviation in amount, and apart from it in timing.

    Attributes
    ----------
    amount_rate : float
        (actual - forecast) / forecast cash by the last horizon.
    amount_interval : Interval
        Of that rate.
    late_months : float
        Mean month of the actual cash less that of the forecast, each weighted with its own cash;
        above 0: late. Free of the amount: twice the cash at the same times is no shift.
    late_interval : Interval
        Of those months.
    """

    amount_rate: float
    amount_interval: Interval
    late_months: float
    late_interval: Interval

    @property
    def amount_deviates(self) -> bool:
        """Whether the interval of the amount leaves out 0."""
        return _leaves_out_zero(self.amount_interval)

    @property
    def timing_deviates(self) -> bool:
        """Whether the interval of the months leaves out 0."""
        return _leaves_out_zero(self.late_interval)


def timing_shift(
    horizons_months: Sequence[int],
    actual_amount: Array,
    forecast_amount: Array,
    clusters: NDArray[Any] | None = None,
) -> TimingShift | None:
    """Tell a deviation in amount from one in timing.

    The mean month of cash is its duration without discounting (Macaulay 1938). Cash of a period
    between two horizons counts at its middle.

    Parameters
    ----------
    horizons_months : sequence of int
        Rising.
    actual_amount, forecast_amount : array, shape (loans, horizons)
        Cumulative cash of loans watched to the last horizon, currency.
    clusters : array, shape (loans,), optional
        See `training.validation.bootstrap.sums_interval`.

    Returns
    -------
    TimingShift, optional
        None where by the last horizon no cash came or none was forecast.
    """
    edges = np.array([0, *horizons_months], dtype=np.float64)
    middles = (edges[:-1] + edges[1:]) / 2
    columns = np.stack(
        [
            part
            for curve in (actual_amount, forecast_amount)
            for part in (curve[:, -1], np.diff(curve, axis=1, prepend=0.0) @ middles)
        ],
        axis=1,
    )
    sums = columns.sum(axis=0)
    if sums[0] <= 0 or sums[2] <= 0:
        return None
    return TimingShift(
        amount_rate=float(_amount_rate(*sums)),
        amount_interval=sums_interval(_amount_rate, columns, clusters),
        late_months=float(_late_months(*sums)),
        late_interval=sums_interval(_late_months, columns, clusters),
    )


def _amount_rate(actual: Any, actual_months: Any, forecast: Any, forecast_months: Any) -> Any:
    return actual / forecast - 1


def _late_months(actual: Any, actual_months: Any, forecast: Any, forecast_months: Any) -> Any:
    return actual_months / actual - forecast_months / forecast


def _leaves_out_zero(interval: Interval) -> bool:
    if interval.low is None or interval.high is None:
        return False
    return interval.low > 0 or interval.high < 0
