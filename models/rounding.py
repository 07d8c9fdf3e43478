"""Figures rounded so that what is shown adds up: the largest-remainder rule."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def apportion(parts: NDArray[np.float64], totals: Any) -> NDArray[np.int64]:
    """Round parts to whole numbers that add up to whole totals.

    Each part is rounded down, and what is missing goes to the parts with the largest remainders
    (Hamilton's rule), the earlier one where two are alike. No part changes its sign or moves by as
    much as one, where parts and total tie.

    Parameters
    ----------
    parts : array, shape (..., parts)
        In the unit that is shown, such as cents.
    totals : int or array of int, shape (...)
        What they add up to.

    Returns
    -------
    array of int, shape (..., parts)

    Examples
    --------
    >>> apportion(np.array([0.4, 0.3, 0.3]), 1).tolist()
    [1, 0, 0]
    >>> apportion(np.array([[2.5, -1.5], [0.2, 0.7]]), np.array([1, 1])).tolist()
    [[3, -2], [0, 1]]
    """
    whole = np.floor(parts)
    each, rest = np.divmod(np.asarray(totals) - whole.sum(axis=-1), parts.shape[-1])
    order = np.argsort(whole - parts, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return np.asarray(whole + each[..., None] + (rank < rest[..., None]), dtype=np.int64)
