"""The twelve segments of a loss estimate, and the table of estimates against outcomes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
EDGES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LABELS: Final = (
    "[0%, 5%)",
    "[5%, 10%)",
    *(f"[{tenth}0%, {tenth + 1}0%)" for tenth in range(1, 10)),
    ">= 100%",
)
# 1 - 0.9 is 0.0999...98: rates are told apart to this many digits.
_DIGITS: Final = 12


def segment_of(rates: Array) -> Counts:
    """Segment of each rate, 0 to 11 (ECB 2019, sections 2.6 and 2.7).

    Rates below 0 (a recovery of more than the exposure) go to the first segment: the ECB's table
    has none below, and there they keep their order. Count them beside the table.

    Raises
    ------
    ValueError
        When a rate is not finite.

    Examples
    --------
    >>> segment_of(np.array([-0.2, 0.0, 0.05, 1 - 0.9, 0.999, 1.0, 1.4])).tolist()
    [0, 0, 1, 2, 10, 11, 11]
    """
    if not np.isfinite(rates).all():
        raise ValueError(f"{np.sum(~np.isfinite(rates))} rates are not finite: leave them out")
    return np.searchsorted(EDGES, np.round(rates, _DIGITS), side="right").astype(np.int64)


def segment_table(estimated: Array, realised: Array) -> Counts:
    """Loans by segment of the estimate (rows) and of the outcome (columns), shape (12, 12).

    ECB 2019, annex 3.2. Works for LGD against LGD and for recovery against recovery rates.

    Raises
    ------
    ValueError
        When lengths differ or a rate is not finite.
    """
    if len(estimated) != len(realised):
        raise ValueError(f"{len(estimated)} estimates and {len(realised)} outcomes are no pairs")
    table = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    np.add.at(table, (segment_of(estimated), segment_of(realised)), 1)
    return table
