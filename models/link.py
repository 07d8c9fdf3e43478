"""The scale a recovery rate is modelled on, and how contributions come back to rate points."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
# `logit` is the fractional-response scale of Papke & Wooldridge (1996), Journal of Applied
# Econometrics 11; `identity` models the rate itself, for outcomes that often leave [0, 1].
Link = Literal["logit", "identity"]


def rate_of(score: Array, link: Link) -> Array:
    """Recovery rate at a score.

    Examples
    --------
    >>> rate_of(np.array([0.0]), "logit").tolist(), rate_of(np.array([-0.1]), "identity").tolist()
    ([0.5], [-0.1])
    """
    return expit(score) if link == "logit" else score


def rate_points(contributions: Array, base: Array, link: Link) -> Array:
    """Contributions on the score scale, brought to recovery-rate points.

    Each loan's contributions are scaled by one factor, the slope of the chord between its base and
    its prediction, so that they add up to the rate at `base + sum` less the rate at `base` and
    keep their signs and proportions.

    Parameters
    ----------
    contributions : array, shape (loans, features)
        Additive on the score scale.
    base : array, shape (loans,)
        Score before any contribution.
    link : {"logit", "identity"}
        Scale of the score.

    Returns
    -------
    array, shape (loans, features)
        In rate points (fraction of EAD).
    """
    if link == "identity":
        return contributions
    total = contributions.sum(axis=1)
    moved = expit(base + total) - expit(base)
    # At a vanishing total the chord becomes the tangent.
    small = np.abs(total) < 1e-9
    tangent = expit(base) * (1 - expit(base))
    chord = np.where(small, tangent, moved / np.where(small, 1.0, total))
    return np.asarray(contributions * chord[:, None])
