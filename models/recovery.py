"""The recovery model: one additive score of a linear and a tree part, brought to a rate by a link.

The score is ``level + linear_weight * linear(x) + tree_weight * mean(trees(x))``. It is additive in
the features, so the explanation of the whole is exact whatever the mixture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.spec import FeatureSpec
from models.errors import ScoringError
from models.linear import LinearPart
from models.link import Link, rate_of, rate_points
from models.trees import TreePart, tree_matrix

Array = NDArray[np.float64]
HORIZON: Final = "horizon_months"


@dataclass(frozen=True)
class Contributions:
    """Why a forecast is what it is, loan by loan.

    Attributes
    ----------
    names : tuple of str
        Features.
    base_score : array, shape (loans,)
        Score before any feature; with dated cash it includes the time allowed.
    scores : array, shape (loans, features)
        Contributions on the score scale: `base_score + scores.sum(axis=1)` is the score.
    base_rate : array, shape (loans,)
        Recovery rate at the base score.
    rate_points : array, shape (loans, features)
        The contributions in rate points: `base_rate + rate_points.sum(axis=1)` is the rate.
    """

    names: tuple[str, ...]
    base_score: Array
    scores: Array
    base_rate: Array
    rate_points: Array


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
    timing_levels : tuple of float
        Dated cash flows: what each horizon adds to the level, never falling.
    linear : LinearPart
        Ridge on coded features.
    linear_weight, tree_weight : float
        Weights of the two parts on the score scale.
    trees : TreePart
        Boosters.
    horizons_months : tuple of int
        Months at which the curve is forecast; empty where outcomes are undated.
    ultimate_months : int, optional
        Dated cash flows: the horizon that counts as ultimate, at which the score is read. None
        where the score is of the ultimate itself.
    resolved_shares : tuple of float
        Single-payment workouts: share of workouts resolved by each horizon.
    """

    spec: FeatureSpec
    link: Link
    level: float
    linear: LinearPart
    linear_weight: float
    trees: TreePart
    tree_weight: float
    horizons_months: tuple[int, ...] = ()
    ultimate_months: int | None = None
    resolved_shares: tuple[float, ...] = ()
    timing_levels: tuple[float, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """Columns the score reads: the features, and the horizon where cash is dated."""
        return self.spec.names if self.ultimate_months is None else [*self.spec.names, HORIZON]

    def score(self, features: pl.DataFrame, horizon_months: int | None = None) -> Array:
        """Score of each loan, at a horizon where cash is dated.

        Parameters
        ----------
        features : polars.DataFrame
            From `features.pipeline.build_features` with this model's `spec`.
        horizon_months : int, optional
            Months after the cut-off; by default the ultimate.

        Returns
        -------
        array, shape (loans,)
        """
        months = self.ultimate_months if horizon_months is None else horizon_months
        return self._scores(features, (months,))[:, 0]

    def _scores(self, features: pl.DataFrame, horizons: tuple[int | None, ...]) -> Array:
        """Scores at several horizons, shape (loans, horizons); what does not move is read once."""
        scores = np.tile([self._level_at(months) for months in horizons], (features.height, 1))
        # A part without weight is not worth its time.
        if self.linear_weight:
            own = self.linear.only(self.spec.names).score(features)
            for place, months in enumerate(horizons):
                scores[:, place] += self.linear_weight * (own + self._linear_step(months))
        if self.tree_weight:
            matrix = tree_matrix(self._at(features, horizons[0]), self.inputs)
            for place, months in enumerate(horizons):
                if self.ultimate_months is not None:
                    matrix[:, -1] = months
                scores[:, place] += self.tree_weight * self.trees.score(matrix)
        return scores

    def _level_at(self, horizon_months: int | None) -> float:
        if self.ultimate_months is None or horizon_months is None:
            return self.level
        return self.level + self.timing_levels[self.horizons_months.index(horizon_months)]

    def _linear_step(self, horizon_months: int | None) -> float:
        """What the time allowed adds to the linear score, the same for every loan."""
        if self.ultimate_months is None:
            return 0.0
        time = pl.DataFrame({HORIZON: [horizon_months]}, schema={HORIZON: pl.Float64})
        steps = self.linear.only([HORIZON])
        return float(steps.score(time)[0]) - steps.intercept

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
        if self.ultimate_months is not None:
            return rate_of(self.score(features, horizon_months), self.link)
        return self._paid_by(self.recovery_rate(features), horizon_months)

    def _paid_by(self, ultimate: Array, horizon_months: int) -> Array:
        """Share of a single payment at resolution: that of the workouts resolved by then."""
        # A forecast below zero is cost, and stands at every horizon: a curve that fell to it would
        # name cash that flows back.
        share = self.resolved_shares[self.horizons_months.index(horizon_months)]
        return np.where(ultimate > 0, ultimate * share, ultimate)

    def recovery_curve(self, features: pl.DataFrame) -> Array:
        """Expected cumulative net recovery rate by horizon, never decreasing.

        Returns
        -------
        array, shape (loans, horizons)
            Columns follow `horizons_months`; no columns where outcomes are undated.
        """
        # Undated outcomes have no curve: nothing is worked out for it.
        if not self.horizons_months:
            return np.empty((features.height, 0))
        return self.forecast(features)[1]

    def forecast(self, features: pl.DataFrame) -> tuple[Array, Array]:
        """Ultimate rate and curve of each loan, worked out once for both.

        Returns
        -------
        ultimate : array, shape (loans,)
            As `recovery_rate`.
        curve : array, shape (loans, horizons)
            As `recovery_curve`.
        """
        if self.ultimate_months is not None:
            curve = rate_of(self._scores(features, self.horizons_months), self.link)
            return curve[:, self.horizons_months.index(self.ultimate_months)], curve
        ultimate = self.recovery_rate(features)
        columns = [self._paid_by(ultimate, months) for months in self.horizons_months]
        return ultimate, np.column_stack(columns) if columns else np.empty((len(ultimate), 0))

    def contributions(self, features: pl.DataFrame) -> Contributions:
        """Exact additive explanation of the ultimate rate."""
        frame = self._at(features, None)
        linear = self.linear.contributions(frame, self.inputs) * self.linear_weight
        trees = self.trees.contributions(tree_matrix(frame, self.inputs)) * self.tree_weight
        together = linear + trees[:, :-1]
        count = len(self.spec.names)
        base = self._level_at(self.ultimate_months) + trees[:, -1]
        base = base + self.linear_weight * self.linear.intercept
        base = base + together[:, count:].sum(axis=1)
        scores = together[:, :count]
        return Contributions(
            names=tuple(self.spec.names),
            base_score=base,
            scores=scores,
            base_rate=rate_of(base, self.link),
            rate_points=rate_points(scores, base, self.link),
        )

    def _at(self, features: pl.DataFrame, horizon_months: int | None) -> pl.DataFrame:
        if self.ultimate_months is None:
            return features
        months = self.ultimate_months if horizon_months is None else horizon_months
        return features.with_columns(pl.lit(float(months)).alias(HORIZON))
