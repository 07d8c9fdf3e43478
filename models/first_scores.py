"""The first scores of a new champion in service, held against where they were expected."""

from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

Array = NDArray[np.float64]
# A wrong unit or an empty column moves scores far; chance must all but never take a model back.
_CHANCE: Final = 1e-6
_FIFTHS: Final = 5
# Any fifth by itself, and two at an end: there a model lies that forecasts too little or too much.
_PLACES: Final = (*((n, n) for n in range(1, _FIFTHS + 1)), (1, 2), (_FIFTHS - 1, _FIFTHS))
# A package is of one seller and age: this much of it may lie in such a place. Practice, measured by
# benchmarks/first_scores.py.
_ALLOWED_SHARE: Final = 0.8
_LEAST_LOANS: Final = 100
# The range is wide: a loan in a hundred outside it would be much already.
_ALLOWED_OUTSIDE_SHARE: Final = 0.01
# Tag of a registered version that holds its `ExpectedScores`.
TAG: Final = "expected_scores"


class ClassScores(BaseModel):
    """Where the forecasts of one asset class lie.

    Attributes
    ----------
    edges : tuple of float
        Inner fifths of the forecast ultimate rates.
    low, high : float
        Range that no sound forecast leaves: the smallest and largest, widened by their distance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edges: tuple[float, ...]
    low: float
    high: float


class ExpectedScores(BaseModel):
    """Where the forecasts of a model lie on the loans it was promoted with, by asset class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by_class: dict[str, ClassScores]

    @classmethod
    def of(cls, rates: Array, asset_class: pl.Series) -> Self:
        """Expected ranges from forecasts of recent loans; thin classes are left out."""
        found = {}
        for name in sorted(asset_class.drop_nulls().unique()):
            own = rates[(asset_class == name).fill_null(False).to_numpy()]
            if len(own) < _LEAST_LOANS:
                continue
            low, high = float(own.min()), float(own.max())
            edges = np.quantile(own, np.linspace(0, 1, _FIFTHS + 1)[1:-1])
            found[name] = ClassScores(
                edges=tuple(edges.tolist()), low=2 * low - high, high=2 * high - low
            )
        return cls(by_class=found)


def leaves_range(expected: ExpectedScores, rates: Array, asset_class: pl.Series) -> str | None:
    """Why the first scores in service are not what was expected; None where they are.

    Parameters
    ----------
    expected : ExpectedScores
        Of the champion.
    rates : array, shape (loans,)
        First forecast ultimate rates in service, NaN where a loan has none.
    asset_class : polars.Series, shape (loans,)
        Their classes; those not expected are not looked at.
    """
    for name, of in expected.by_class.items():
        own = rates[(asset_class == name).fill_null(False).to_numpy()]
        own = own[np.isfinite(own)]
        outside = int(((own < of.low) | (own > of.high)).sum())
        # At this chance, three odd loans are not enough, and four that are all of a class are.
        if stats.binom.sf(outside - 1, len(own), _ALLOWED_OUTSIDE_SHARE) < _CHANCE:
            return (
                f"{outside} of {len(own)} forecasts of {name} lie outside {of.low:.3f} to"
                f" {of.high:.3f}"
            )
        counts = np.bincount(np.searchsorted(of.edges, own), minlength=_FIFTHS)
        for first, last in _PLACES:
            held = int(counts[first - 1 : last].sum())
            if stats.binom.sf(held - 1, len(own), _ALLOWED_SHARE) < _CHANCE:
                fifths = f"fifth {first}" if first == last else f"fifths {first} and {last}"
                return (
                    f"{held / len(own):.0%} of {len(own)} forecasts of {name} lie in {fifths} of"
                    f" what was expected, {_ALLOWED_SHARE:.0%} is allowed"
                )
    return None
