"""Many segments tested at once: how many would be flagged for nothing."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# Chance that a table in which nothing is wrong flags anything at all.
FALSE_FLAG_RATE: Final = 0.05


def holm(p_values: Array) -> Array:
    """P-values corrected for their number, by Holm (1979), Scand. J. Statist. 6, 65-70.

    Flagging those at or below a level keeps the chance of *any* false flag at most at that level,
    however the tests hang together: segments of several dimensions hold the same loans. The false
    discovery rate of Benjamini & Hochberg allows a share of false flags once there are true ones,
    which a table that is read line by line must not.

    Parameters
    ----------
    p_values : array, shape (tests,)
        Missing ones (NaN) stay missing and do not count as tests.

    Returns
    -------
    array, shape (tests,)
        In the order given, up to 1.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan])).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    found = np.full(len(p_values), np.nan)
    told = np.flatnonzero(~np.isnan(p_values))
    order = told[np.argsort(p_values[told], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return found
