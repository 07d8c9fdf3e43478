"""Round numbers for the axes of charts."""

import math


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers within `low` and `high`, about `count` steps of them, zero among them.

    Parameters
    ----------
    low, high : float
        Ends of the axis, `low` below `high`.
    count : int
        Steps aimed at.

    Examples
    --------
    >>> nice_ticks(0.0, 76.0, 4)
    [0.0, 20.0, 40.0, 60.0]
    >>> nice_ticks(-0.3, 0.21)
    [-0.2, 0.0, 0.2]
    """
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * lead for lead in (1, 2, 2.5, 5, 10) if size * lead >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [round(step * place, 10) + 0.0 for place in range(first, last + 1)]
