"""When there is too little to tell: the one rule of every segment table."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# As in the tables of fairness: a thinner segment says more about its loans than about the model.
LEAST_LOANS: Final = 50
# Money that lies in a handful of loans has their luck, however many stand by (Kish's number).
LEAST_EFFECTIVE_LOANS: Final = 15.0
# A t-test of bounded, skewed rates keeps its level from about here on.
LEAST_TESTED_LOANS: Final = 30
# Fewer clusters spread too little for their spread to be read: intervals come out too narrow.
LEAST_CLUSTERS: Final = 8


def effective_loans(amounts: Array) -> float:
    """Effective number of loans behind a sum of amounts, (sum w)^2 / sum w^2 (Kish 1965, 11.7).

    Parameters
    ----------
    amounts : array, shape (loans,)
        Weights, not negative.

    Examples
    --------
    >>> effective_loans(np.array([1.0, 1.0, 1.0, 1.0]))
    4.0
    >>> round(effective_loans(np.array([97.0, 1.0, 1.0, 1.0])), 2)
    1.06
    """
    squares = float(np.sum(amounts**2))
    return float(np.sum(amounts)) ** 2 / squares if squares > 0 else 0.0


def too_few(amounts: Array) -> str | None:
    """Why a segment is too thin for a figure; None where it is not.

    Parameters
    ----------
    amounts : array, shape (loans,)
        What the figure is weighted with: forecast cash or EAD.
    """
    if len(amounts) < LEAST_LOANS:
        return f"too few: {len(amounts)} loans, {LEAST_LOANS} are needed"
    effective = effective_loans(np.maximum(amounts, 0.0))
    if effective < LEAST_EFFECTIVE_LOANS:
        return (
            f"too few: the money of {len(amounts)} loans lies in about {effective:.0f} of them,"
            f" {LEAST_EFFECTIVE_LOANS:.0f} are needed"
        )
    return None
