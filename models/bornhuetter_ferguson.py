"""Bornhuetter-Ferguson on vintage recovery triangles: what is paid, and the prior for the rest.

A young vintage's own cash is a poor guide to its ultimate; the prior carries it, and gives way as
the vintage develops (Bornhuetter & Ferguson 1972, Proceedings of the CAS 59).
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def developed_shares(factors: Array) -> Array:
    """Share of the ultimate that is paid by each age, from age-to-age factors.

    Parameters
    ----------
    factors : array, shape (ages - 1,)
        From `models.chain_ladder.age_to_age_factors`.

    Returns
    -------
    array, shape (ages,)
        1 at the last age.

    Examples
    --------
    >>> developed_shares(np.array([2.0, 1.25])).tolist()
    [0.4, 0.8, 1.0]
    """
    return 1 / np.append(np.cumprod(factors[::-1])[::-1], 1.0)


def cape_cod_rate(latest: Array, exposure: Array, share: Array) -> float:
    """Prior ultimate rate that the vintages themselves give: cash over developed exposure.

    Stanard (1985), Proceedings of the CAS 72; each vintage weighs the exposure that has developed.

    Parameters
    ----------
    latest : array, shape (vintages,)
        Cumulative cash at the vintage's latest age, currency.
    exposure : array, shape (vintages,)
        Exposure, currency.
    share : array, shape (vintages,)
        Share of the ultimate paid by that age.

    Raises
    ------
    ValueError
        When no exposure has developed.
    """
    used = float(exposure @ share)
    if used <= 0:
        raise ValueError("no exposure has developed yet; there is nothing to take a prior from")
    return float(latest.sum()) / used


def bornhuetter_ferguson(latest: Array, prior: Array, share: Array) -> Array:
    """Ultimate cash of each vintage: paid so far, and the undeveloped share of the prior.

    Parameters
    ----------
    latest : array, shape (vintages,)
        Cumulative cash at the latest age, currency.
    prior : array, shape (vintages,)
        Ultimate cash expected beforehand, currency.
    share : array, shape (vintages,)
        Share of the ultimate paid by that age.
    """
    return latest + (1 - share) * prior
