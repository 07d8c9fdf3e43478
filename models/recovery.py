"""The recovery model: one additive score of a linear and a tree part, brought to a rate by a link.

The score is ``level + linear_weight * linear(x) + tree_weight * mean(trees(x))``. It is additive in
the features, so the explanation of the whole is exact whatever the mixture. It says how much comes
in the end; when it comes is the share of it due by each horizon, which the timing says.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.flags import Seen
from features.spec import FeatureSpec
from models.development import DevelopmentPattern
from models.errors import ScoringError
from models.linear import LinearPart
from models.link import Link, rate_of, rate_points
from models.resolution import ResolutionModel
from models.trees import FeatureMatrix, TreePart
from models.uncertainty import Uncertainty

Array = NDArray[np.float64]
# Dated cash flows develop; a workout that ends in one payment resolves.
Timing = DevelopmentPattern | ResolutionModel


@dataclass(frozen=True)
class Contributions:
    """Why a forecast is what it is, loan by loan.

    Attributes
    ----------
    names : tuple of str
        Features.
    base_score : array, shape (loans,)
        Score before any feature.
    scores : array, shape (loans, features)
        Contributions on the score scale: `base_score + scores.sum(axis=1)` is the score.
    base_rate : array, shape (loans,)
        Recovery rate at the base score.
    rate_points : array, shape (loans, features)
        The contributions in rate points: `base_rate + rate_points.sum(axis=1)` is the rate.
    values : FeatureMatrix
        The loans' own values of the features.
    """

    names: tuple[str, ...]
    base_score: Array
    scores: Array
    base_rate: Array
    rate_points: Array
    values: FeatureMatrix


def curve_of(ultimate: Array, shares: Array) -> Array:
    """Cumulative rates by horizon, shape (loans, horizons), of ultimate rates and shares due."""
    whole = ultimate[:, None]
    # A forecast below zero is cost, and stands at every horizon: a curve that fell to it would
    # name cash that flows back.
    return np.where(whole > 0, whole * shares, whole)


@dataclass(frozen=True)
class RecoveryModel:
    """Expected net recovery rate of a loan: ultimate, and by months after the cut-off.

    Attributes
    ----------
    spec : FeatureSpec
        The features it reads.
    link : {"logit", "identity"}
        From score to rate.
    level : float
        Constant of the score.
    linear : LinearPart
        Ridge on coded features.
    linear_weight, tree_weight : float
        Weights of the two parts on the score scale.
    trees : TreePart
        Boosters.
    timing : DevelopmentPattern or ResolutionModel, optional
        When the ultimate comes; None where outcomes are undated.
    uncertainty : Uncertainty, optional
        How far forecasts like these have missed; None where too few vintages could tell.
    """

    spec: FeatureSpec
    link: Link
    level: float
    linear: LinearPart
    linear_weight: float
    trees: TreePart
    tree_weight: float
    timing: Timing | None = None
    uncertainty: Uncertainty | None = None

    @cached_property
    def seen(self) -> Seen:
        """What of a loan is flagged as unlike the training loans."""
        return Seen.of(self.spec)

    @property
    def horizons_months(self) -> tuple[int, ...]:
        """Months after the cut-off at which the curve is told; empty where outcomes are undated."""
        return () if self.timing is None else self.timing.horizons_months

    @property
    def ultimate_months(self) -> int | None:
        """Horizon that counts as ultimate, where cash is dated."""
        return self.timing.ultimate_months if isinstance(self.timing, DevelopmentPattern) else None

    @cached_property
    def _levels(self) -> dict[str, tuple[str, ...]]:
        return {d.name: d.levels for d in self.spec.definitions if d.kind == "category"}

    def score(self, features: pl.DataFrame) -> Array:
        """Score of each loan's ultimate rate, shape (loans,).

        Parameters
        ----------
        features : polars.DataFrame
            From `features.pipeline.build_features` with this model's `spec`.
        """
        return self._score(*self._inputs(features))

    def _inputs(self, features: pl.DataFrame) -> tuple[FeatureMatrix, Array]:
        """What both parts read: the features as numbers, and what the linear part makes of them."""
        matrix = FeatureMatrix.of(features, self.spec.names, self._levels)
        # A part without weight is not worth its time.
        effects = (
            self.linear.effects(matrix) if self.linear_weight else np.zeros_like(matrix.values)
        )
        return matrix, effects

    def _score(self, matrix: FeatureMatrix, effects: Array) -> Array:
        score = np.full(len(matrix.values), self.level)
        if self.linear_weight:
            score += self.linear_weight * self.linear.summed(effects)
        if self.tree_weight:
            score += self.tree_weight * self.trees.score(matrix.values)
        return score

    def recovery_rate(self, features: pl.DataFrame) -> Array:
        """Expected ultimate net recovery rate, fraction of EAD, shape (loans,)."""
        return rate_of(self.score(features), self.link)

    def recovery_rate_at(self, features: pl.DataFrame, horizon_months: int) -> Array:
        """Expected cumulative net recovery rate at one horizon of the curve, shape (loans,).

        Raises
        ------
        ScoringError
            When the curve does not reach that horizon.
        """
        if horizon_months not in self.horizons_months:
            raise ScoringError(
                f"the curve has no month {horizon_months}; it has"
                f" {', '.join(map(str, self.horizons_months)) or 'none: outcomes are undated'}"
            )
        return self.recovery_curve(features)[:, self.horizons_months.index(horizon_months)]

    def recovery_curve(self, features: pl.DataFrame) -> Array:
        """Expected cumulative net recovery rate by horizon, never decreasing.

        Returns
        -------
        array, shape (loans, horizons)
            Columns follow `horizons_months`; no columns where outcomes are undated.
        """
        # Undated outcomes have no curve: nothing is worked out for it.
        return self.forecast(features)[1] if self.timing else np.empty((features.height, 0))

    def forecast(self, features: pl.DataFrame) -> tuple[Array, Array]:
        """Ultimate rate and curve of each loan, worked out once for both.

        Returns
        -------
        ultimate : array, shape (loans,)
            As `recovery_rate`.
        curve : array, shape (loans, horizons)
            As `recovery_curve`.
        """
        return self._forecast(features, self.score(features))

    def _forecast(self, features: pl.DataFrame, score: Array) -> tuple[Array, Array]:
        ultimate = rate_of(score, self.link)
        if self.timing is None:
            return ultimate, np.empty((features.height, 0))
        # The timing tells segments by the columns it finds: only those it was fitted on may count.
        return ultimate, curve_of(ultimate, self.timing.shares(features[self.spec.names]))

    def explained(self, features: pl.DataFrame) -> tuple[Array, Array, Contributions]:
        """Forecast and contributions, from features turned into numbers once for both.

        Returns
        -------
        tuple of (array, array, Contributions)
            As `forecast` and `contributions` give them, to the same bits.
        """
        inputs = self._inputs(features)
        return *self._forecast(features, self._score(*inputs)), self._contributions(*inputs)

    @property
    def uncertain_months(self) -> int | None:
        """Horizon that the uncertainty speaks of; None is the ultimate."""
        months = self.uncertainty.rates.horizon_months if self.uncertainty else None
        return None if months == self.ultimate_months else months

    def contributions(self, features: pl.DataFrame) -> Contributions:
        """Exact additive explanation of the ultimate rate."""
        return self._contributions(*self._inputs(features))

    def _contributions(self, matrix: FeatureMatrix, effects: Array) -> Contributions:
        loans = len(matrix.values)
        scores = effects * self.linear_weight
        base = np.full(loans, self.level + self.linear_weight * self.linear.intercept)
        if self.tree_weight:
            trees = self.trees.contributions(matrix.values) * self.tree_weight
            scores, base = scores + trees[:, :-1], base + trees[:, -1]
        return Contributions(
            names=matrix.names,
            base_score=base,
            scores=scores,
            base_rate=rate_of(base, self.link),
            rate_points=rate_points(scores, base, self.link),
            values=matrix,
        )
