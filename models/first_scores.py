"""The first scores of a new champion in service, held against where they were expected.

The service asks `take_back_if_outside` once for the first package that a new champion scores.
"""

from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from models import registry
from models.errors import RegistryError
from models.mlflow_store import Store
from models.reference import CHAMPION, DEFAULT_NAME, ModelReference

Array = NDArray[np.float64]
# A wrong unit or an empty column moves scores far; chance must all but never take a model back.
_CHANCE: Final = 1e-6
_FIFTHS: Final = 5
# A package is of one seller and age: this much of it may lie in one fifth of its class. Practice.
_ALLOWED_SHARE: Final = 0.8
_LEAST_LOANS: Final = 100
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
        if outside:
            return (
                f"{outside} of {len(own)} forecasts of {name} lie outside {of.low:.3f} to"
                f" {of.high:.3f}"
            )
        counts = np.bincount(np.searchsorted(of.edges, own), minlength=_FIFTHS)
        most = int(counts.argmax())
        p_value = float(stats.binom.sf(counts[most] - 1, len(own), _ALLOWED_SHARE))
        if p_value < _CHANCE:
            return (
                f"{counts[most] / len(own):.0%} of {len(own)} forecasts of {name} lie in fifth"
                f" {most + 1} of what was expected, {_ALLOWED_SHARE:.0%} is allowed"
            )
    return None


def take_back_if_outside(
    store: Store, rates: Array, asset_class: pl.Series, name: str = DEFAULT_NAME
) -> str | None:
    """Make the former champion champion again if the first scores leave their expected range.

    Parameters
    ----------
    store : Store
        MLflow's store of models.
    rates, asset_class
        As in `leaves_range`: the first forecasts of the champion in service.
    name : str
        Registered model.

    Returns
    -------
    str, optional
        Why it was taken back, for the record; None where the scores are as expected, or the
        champion came without an expected range.

    Raises
    ------
    RegistryError
        When there is no former champion to go back to, with what was found.
    StoreError, BundleError
        As `models.registry.rollback`.
    """
    champion = ModelReference(name, None, CHAMPION)
    told = registry.tag(store, champion, TAG)
    if told is None:
        return None
    why = leaves_range(ExpectedScores.model_validate_json(told), rates, asset_class)
    if why is not None:
        try:
            registry.rollback(store, name)
        except RegistryError as error:
            raise RegistryError(f"{why}; and it cannot be taken back: {error}") from error
    return why
