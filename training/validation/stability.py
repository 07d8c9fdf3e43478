"""Stability and concentration of a distribution over segments."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
# Practice, not rule: from here amber, from there red.
AMBER: Final = 0.10
RED: Final = 0.25
_HALF: Final = 0.5


@dataclass(frozen=True)
class Stability:
    """Population stability index of two distributions over the same segments.

    Attributes
    ----------
    psi : float
        Sum of (p2 - p1) ln(p2 / p1); 0 for equal shares.
    expected : float
        What samples of these sizes from one and the same distribution give on average.
    chance_limit : float
        What only one such pair in twenty exceeds.
    smoothed : bool
        Whether a segment was empty on one side, so that half a loan was added to each.
    """

    psi: float
    expected: float
    chance_limit: float
    smoothed: bool

    @property
    def beyond_chance(self) -> bool:
        """Whether the index exceeds what chance gives one time in twenty."""
        return self.psi > self.chance_limit


def stability(before: NDArray[np.int64], now: NDArray[np.int64]) -> Stability:
    """Population stability index, beside what it is under no change.

    Segments empty in both are left out. Where a segment is empty in one, half a loan is added to
    every segment of both (a Jeffreys prior), for the logarithm has no zero. Under no change,
    PSI / (1/N1 + 1/N2) is about chi-squared with B - 1 degrees (Yurdakul & Naranjo 2020,
    Statistical properties of the population stability index, J. Risk Model Validation 14(4)).

    Parameters
    ----------
    before, now : array, shape (segments,)
        Loans by segment, for example at development and today.

    Raises
    ------
    ValueError
        When shapes differ or one side has no loans.
    """
    if before.shape != now.shape or before.sum() == 0 or now.sum() == 0:
        raise ValueError(
            f"stability needs loans on both sides over the same segments; got {before.sum()} in"
            f" {len(before)} and {now.sum()} in {len(now)}"
        )
    used = (before > 0) | (now > 0)
    first, second = before[used].astype(np.float64), now[used].astype(np.float64)
    per_loan = 1 / first.sum() + 1 / second.sum()
    smoothed = bool((first == 0).any() or (second == 0).any())
    if smoothed:
        first, second = first + _HALF, second + _HALF
    p1, p2 = first / first.sum(), second / second.sum()
    degrees = len(p1) - 1
    return Stability(
        psi=float(np.sum((p2 - p1) * np.log(p2 / p1))),
        expected=degrees * per_loan,
        chance_limit=float(stats.chi2.ppf(0.95, degrees)) * per_loan if degrees else 0.0,
        smoothed=smoothed,
    )


@dataclass(frozen=True)
class Concentration:
    """How unevenly segments are filled.

    Attributes
    ----------
    variation : float
        CV, coefficient of variation of the shares; 0 where all are equal.
    index : float
        HI, Herfindahl index on a log scale: 0 where all are equal, 1 where all is in one segment.
    """

    variation: float
    index: float


def concentration(amounts: Array) -> Concentration:
    """Concentration of loans or money in the segments of a model (ECB 2019, section 2.5).

    CV = sqrt(K sum (R_i - 1/K)^2) and HI = 1 + log((CV^2 + 1) / K) / log K, with R_i the share of
    segment i of K, empty ones counted.

    Parameters
    ----------
    amounts : array, shape (segments,)
        Loans or EAD by segment, not negative.

    Raises
    ------
    ValueError
        When there are fewer than two segments, a negative amount, or nothing at all.
    """
    count, total = len(amounts), float(np.sum(amounts))
    if count < 2 or total <= 0 or (np.asarray(amounts) < 0).any():
        raise ValueError(
            f"concentration needs two or more segments and amounts of 0 or more, not {amounts}"
        )
    shares = np.asarray(amounts) / total
    variation = math.sqrt(count * float(np.sum((shares - 1 / count) ** 2)))
    return Concentration(variation, 1 + math.log((variation**2 + 1) / count) / math.log(count))
