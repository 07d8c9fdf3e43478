"""A recovery curve read at each loan's own age."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rate_at_age(
    curve: Array, horizons_months: Sequence[int], months: NDArray[np.integer[Any]]
) -> Array:
    """Expected cumulative net rate of each loan at an age of its own, shape (loans,).

    Straight between the horizons, from zero at the cut-off; flat past the last one.

    Parameters
    ----------
    curve : array, shape (loans, horizons)
        Cumulative rates, fractions of EAD.
    horizons_months : sequence of int
        Months of its columns, rising.
    months : array of int, shape (loans,)
        Ages.

    Examples
    --------
    >>> curve = np.array([[0.12, 0.18], [0.12, 0.18]])
    >>> [round(float(rate), 9) for rate in rate_at_age(curve, (6, 12), np.array([4, 9]))]
    [0.08, 0.15]
    """
    ages = np.array([0, *horizons_months], dtype=np.float64)
    whole = np.column_stack([np.zeros(len(curve)), curve])
    age = np.clip(months.astype(np.float64), 0.0, ages[-1])
    later = np.clip(np.searchsorted(ages, age), 1, len(ages) - 1)
    share = (age - ages[later - 1]) / (ages[later] - ages[later - 1])
    rows = np.arange(len(curve))
    before, after = whole[rows, later - 1], whole[rows, later]
    return np.asarray(before + share * (after - before))
