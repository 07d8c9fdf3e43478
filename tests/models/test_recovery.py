"""The recovery model: exact explanations, curves that never fall, horizons it has."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, logit

from features.spec import FeatureSpec
from models.errors import ScoringError
from models.linear import LinearPart
from models.recovery import RecoveryModel
from models.resolution import ResolutionModel
from models.trees import tree_matrix
from training.dataset import TrainingSet

# One resolution hazard for all loans: a quarter within 6 months, four fifths within 12.
RESOLUTION = ResolutionModel(
    interval_ends_months=(6, 12),
    baseline=(float(logit(0.25)), float(logit(0.55 / 0.75))),
    effects=LinearPart(intercept=0.0, columns=()),
)


@pytest.mark.parametrize("link", ["logit", "identity"])
def test_explanations_add_up(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, spec: FeatureSpec, link: str
) -> None:
    model = toy(link=link)
    why = model.contributions(frame)
    assert why.names == tuple(spec.names)
    np.testing.assert_allclose(
        why.base_score + why.scores.sum(axis=1), model.score(frame), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        why.base_rate + why.rate_points.sum(axis=1), model.recovery_rate(frame), rtol=0, atol=1e-9
    )


def test_the_score_is_the_weighted_sum_of_its_parts(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, spec: FeatureSpec
) -> None:
    model = toy()
    linear, trees = model.linear.score(frame), model.trees.score(tree_matrix(frame, spec.names))
    by_hand = 0.1 + 0.4 * linear + 0.6 * trees
    np.testing.assert_allclose(model.score(frame), by_hand, atol=1e-12)
    np.testing.assert_allclose(model.recovery_rate(frame), expit(by_hand), atol=1e-12)
    for parts, score in (((1.0, 0.0), linear), ((0.0, 1.0), trees)):
        alone = toy(level=0.0, linear_weight=parts[0], tree_weight=parts[1])
        np.testing.assert_allclose(alone.score(frame), score, atol=1e-12)


def test_explanations_of_dated_cash_add_up(
    dated_model: RecoveryModel, training_data: TrainingSet
) -> None:
    features = training_data.features
    why = dated_model.contributions(features)
    assert "horizon_months" not in why.names
    np.testing.assert_allclose(
        why.base_score + why.scores.sum(axis=1), dated_model.score(features), rtol=0, atol=1e-9
    )
    np.testing.assert_allclose(
        why.base_rate + why.rate_points.sum(axis=1),
        dated_model.recovery_rate(features),
        rtol=0,
        atol=1e-9,
    )


def test_curves_of_dated_cash_never_fall_and_end_in_the_ultimate(
    dated_model: RecoveryModel, training_data: TrainingSet
) -> None:
    features = training_data.features
    curve = dated_model.recovery_curve(features)
    assert dated_model.horizons_months == (6, 12, 24, 36, 48, 60)
    assert curve.shape == (2_000, 6)
    assert (np.diff(curve, axis=1) >= 0).all()
    np.testing.assert_array_equal(curve[:, -1], dated_model.recovery_rate(features))
    for place, months in enumerate(dated_model.horizons_months):
        np.testing.assert_array_equal(
            curve[:, place], dated_model.recovery_rate_at(features, months)
        )
    # The books have taken years to fill: a first half-year cannot be half of the whole on average.
    assert curve[:, 0].mean() < 0.5 * curve[:, -1].mean()


def test_a_single_payment_comes_in_the_share_resolved_by_then(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame
) -> None:
    model = toy(link="identity", timing=RESOLUTION)
    ultimate = model.recovery_rate(frame)
    assert (ultimate < 0).any()
    curve = model.recovery_curve(frame)
    # What is cost on balance stands at once: the curve never falls, nor ends above its ultimate.
    np.testing.assert_allclose(curve[:, 0], np.where(ultimate > 0, 0.25 * ultimate, ultimate))
    np.testing.assert_allclose(curve[:, 1], np.where(ultimate > 0, 0.8 * ultimate, ultimate))


def test_horizons_outside_the_curve_are_refused(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame
) -> None:
    model = toy(timing=RESOLUTION)
    with pytest.raises(ScoringError, match="no month 18; it has 6, 12"):
        model.recovery_rate_at(frame, 18)
    undated = toy()
    assert undated.recovery_curve(frame).shape == (500, 0)
    with pytest.raises(ScoringError, match="outcomes are undated"):
        undated.recovery_rate_at(frame, 12)


def test_one_loan_alone_is_scored_and_explained_to_the_same_bits(
    dated_model: RecoveryModel, training_data: TrainingSet
) -> None:
    features = training_data.features
    curve, why = dated_model.recovery_curve(features), dated_model.contributions(features)
    for place in range(0, features.height, 400):
        alone = features[place : place + 1]
        assert (dated_model.recovery_curve(alone)[0] == curve[place]).all()
        one = dated_model.contributions(alone)
        assert (one.rate_points[0] == why.rate_points[place]).all()
        assert one.base_rate[0] == why.base_rate[place]


def test_missing_values_are_scored(toy: Callable[..., RecoveryModel], frame: pl.DataFrame) -> None:
    nothing = frame.head(1).select(
        "loan_id", *(pl.lit(None, dtype=frame.schema[n]).alias(n) for n in frame.columns[1:])
    )
    assert 0 < toy().recovery_rate(nothing)[0] < 1
