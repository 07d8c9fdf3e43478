"""Time to resolution of workouts that end in one payment: a discrete-time hazard by loan.

In each interval after the cut-off an open workout resolves with probability
``expit(baseline[interval] + effects(x))`` (Cox 1972, JRSS B 34, section 6; Allison 1982,
Sociological Methodology 13). All of it is plain numbers.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator
from scipy.special import expit

from features.horizons import HORIZONS_MONTHS
from models.errors import ScoringError
from models.linear import LinearPart

Array = NDArray[np.float64]
# A block of loans at a time, so that a million of them need no table of a million by intervals.
_BLOCK_LOANS: Final = 50_000


class ResolutionModel(BaseModel):
    """Share of a loan's workout that is expected to have resolved by a number of months.

    Attributes
    ----------
    interval_ends_months : tuple of int
        Last month of each interval after the cut-off; the first begins with month 0. The last one
        is the longest time that enough workouts were watched for: the model says nothing past it.
    baseline : tuple of float
        Logit of the hazard in each interval, of a loan whose features have no effect.
    effects : LinearPart
        What the features add to the logit, the same in every interval. Its intercept is 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["resolution"] = "resolution"
    interval_ends_months: tuple[int, ...]
    baseline: tuple[float, ...]
    effects: LinearPart

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ends = (0, *self.interval_ends_months)
        rising = all(end > start for start, end in pairwise(ends))
        if len(ends) < 2 or not rising:
            raise ValueError(f"interval_ends_months must rise from above 0, not {ends[1:]}")
        if len(self.baseline) != len(self.interval_ends_months):
            raise ValueError(
                f"{len(self.interval_ends_months)} intervals need as many baseline hazards,"
                f" not {len(self.baseline)}"
            )
        return self

    @property
    def horizons_months(self) -> tuple[int, ...]:
        """Horizons the curve is told at: those that enough workouts were watched for."""
        return tuple(h for h in HORIZONS_MONTHS if h <= self.interval_ends_months[-1])

    def hazards(self, features: pl.DataFrame) -> Array:
        """Probability to resolve in each interval, given that the workout is open at its start.

        Returns
        -------
        array, shape (loans, intervals)
        """
        own = self.effects.score(features)
        return np.asarray(expit(own[:, None] + np.asarray(self.baseline)))

    def shares(self, features: pl.DataFrame) -> Array:
        """Share expected to have resolved by each horizon, never falling, shape (loans, horizons).

        Within an interval the share rises evenly.
        """
        return self.share_resolved(features, self.horizons_months)

    def share_resolved(self, features: pl.DataFrame, months: Sequence[int]) -> Array:
        """Share expected to have resolved by months of one's own choice, up to the last interval's.

        Parameters
        ----------
        features : polars.DataFrame
            Feature frame.
        months : sequence of int
            Months after the cut-off, 0 to the last of `interval_ends_months`.

        Returns
        -------
        array, shape (loans, months)

        Raises
        ------
        ScoringError
            When a month is negative, or later than enough workouts were watched for.
        """
        last = self.interval_ends_months[-1]
        for month in months:
            if not 0 <= month <= last:
                raise ScoringError(
                    f"month {month} is outside the curve: workouts were watched up to month {last}"
                    " after the cut-off"
                )
        # The share at a month is a fixed mixture of the shares at the interval ends.
        ends = np.array([0, *self.interval_ends_months], dtype=np.float64)
        mixture = np.array([np.interp(months, ends, row) for row in np.eye(len(ends))])
        result = np.empty((features.height, len(months)))
        for start in range(0, features.height, _BLOCK_LOANS):
            block = features[start : start + _BLOCK_LOANS]
            ended = 1 - np.asarray(np.cumprod(1 - self.hazards(block), axis=1), np.float64)
            result[start : start + _BLOCK_LOANS] = _mixed(ended, mixture[1:])
        return result


def _mixed(shares: Array, mixture: Array) -> Array:
    # Summed interval by interval: a matrix product rounds one loan and many another way.
    total = np.zeros((len(shares), mixture.shape[1]))
    for place in range(shares.shape[1]):
        total += shares[:, place, None] * mixture[place]
    return total
