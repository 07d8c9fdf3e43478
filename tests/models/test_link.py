"""Contributions in rate points: they add up, and keep their signs and proportions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.link import rate_of, rate_points

scores = st.floats(-12, 12)


def logistic(score: float) -> float:
    return float(1 / (1 + np.exp(-score)))


@given(contributions=arrays(np.float64, (5,), elements=st.floats(-4, 4)), base=scores)
def test_points_add_up_and_keep_signs_and_proportions(
    contributions: np.ndarray, base: float
) -> None:
    points = rate_points(contributions[None, :], np.array([base]), "logit")[0]
    moved = logistic(base + contributions.sum()) - logistic(base)
    assert points.sum() == pytest.approx(moved, abs=1e-9)
    meant = np.abs(contributions) > 1e-200  # smaller ones vanish in the product
    assert (np.sign(points) == np.sign(contributions))[meant].all()
    # One factor for all: every pair of points stands as the pair of contributions.
    np.testing.assert_allclose(
        np.outer(points, contributions), np.outer(contributions, points), atol=1e-12
    )


def test_two_factors_by_hand() -> None:
    # From a score of 0 (a half) by +2 and -1 to 1: 0.731059 - 0.5 = 0.231059, in the ratio 2 to -1.
    points = rate_points(np.array([[2.0, -1.0]]), np.array([0.0]), "logit")
    assert points[0] == pytest.approx([0.462117, -0.231059], abs=1e-6)


def test_contributions_that_cancel_keep_their_size() -> None:
    # The chord is then the slope of the logistic curve, a quarter at a half.
    points = rate_points(np.array([[0.4, -0.4]]), np.array([0.0]), "logit")
    assert points[0] == pytest.approx([0.1, -0.1])


def test_identity_is_left_alone() -> None:
    contributions = np.array([[0.3, -1.4]])
    assert rate_points(contributions, np.array([0.1]), "identity").tolist() == [[0.3, -1.4]]
    assert rate_of(np.array([-0.2, 1.3]), "identity").tolist() == [-0.2, 1.3]


def test_extreme_scores_stay_finite() -> None:
    assert rate_of(np.array([-800.0, 800.0]), "logit").tolist() == [0.0, 1.0]
    points = rate_points(np.array([[1600.0, 0.0]]), np.array([-800.0]), "logit")
    assert points.tolist() == [[1.0, 0.0]]
