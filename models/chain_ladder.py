"""Chain-ladder on vintage recovery triangles: the actuary's baseline for dated cash.

A vintage's cumulative recovery is developed by volume-weighted age-to-age factors (Mack 1993,
ASTIN Bulletin 23(2)).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def age_to_age_factors(triangle: Array) -> Array:
    """Volume-weighted development factors of a cumulative run-off triangle.

    Parameters
    ----------
    triangle : array, shape (vintages, ages)
        Cumulative amounts; NaN where not yet observed. A row is observed up to some age.

    Returns
    -------
    array, shape (ages - 1,)
        Factor from each age to the next.

    Raises
    ------
    ValueError
        When no vintage is observed at two neighbouring ages, or has nothing to develop.
    """
    factors = np.empty(triangle.shape[1] - 1)
    for age in range(triangle.shape[1] - 1):
        both = ~np.isnan(triangle[:, age]) & ~np.isnan(triangle[:, age + 1])
        before = triangle[both, age].sum()
        if not both.any() or before <= 0:
            raise ValueError(
                f"no vintage has recoveries at ages {age} and {age + 1} of the triangle;"
                " use fewer ages or wider vintages"
            )
        factors[age] = triangle[both, age + 1].sum() / before
    return factors


def developed(triangle: Array, factors: Array) -> Array:
    """Triangle with its unobserved part filled in by the factors, same shape."""
    full = triangle.copy()
    for age, factor in enumerate(factors):
        missing = np.isnan(full[:, age + 1])
        full[missing, age + 1] = full[missing, age] * factor
    return full
