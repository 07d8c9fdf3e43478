"""The fit's yardstick: a rate that is a known share of an ultimate, and how far a score misses it.

The expected rate is ``share * rate_of(score)``: with cash still to come it is the share of the
ultimate due by the time the loan was watched to, else the share is 1. On the logit it is the
quasi-likelihood of Papke & Wooldridge (1996); a share below 1 makes it the Cape Cod estimate of
loss reserving (Stanard 1985), with features for the prior.
"""

import numpy as np
from numpy.typing import NDArray

from models.link import Link, rate_of

Array = NDArray[np.float64]
_TINY = 1e-12


def deviance(score: Array, rate: Array, share: Array, link: Link) -> Array:
    """Half the deviance of each row, up to a constant of the data, shape (rows,).

    Parameters
    ----------
    score : array, shape (rows,)
        Scores.
    rate : array, shape (rows,)
        Observed rates; within [0, 1] on the logit.
    share : array, shape (rows,)
        Share of the ultimate due in them, 0 to 1.
    link : {"logit", "identity"}
        Scale of the score.
    """
    due = share * rate_of(score, link)
    if link == "identity":
        return np.asarray(0.5 * (due - rate) ** 2)
    due = np.clip(due, _TINY, 1 - _TINY)
    return np.asarray(-rate * np.log(due) - (1 - rate) * np.log1p(-due))


def pull(score: Array, rate: Array, share: Array, link: Link) -> tuple[Array, Array]:
    """Derivative of `deviance` by the score, and its expected curvature, each of shape (rows,)."""
    if link == "identity":
        return share * (share * score - rate), share**2
    ultimate = rate_of(score, link)
    due = np.clip(share * ultimate, _TINY, 1 - _TINY)
    slope = (1 - ultimate) / (1 - due)
    return slope * (due - rate), slope * due * (1 - ultimate)
