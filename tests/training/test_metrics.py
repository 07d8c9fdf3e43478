"""Measures against a hand example and against scikit-learn and scipy."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from training.metrics import accuracy


def test_by_hand() -> None:
    found = accuracy(
        np.array([0.0, 0.5, 1.0]), np.array([0.1, 0.4, 0.8]), np.array([100.0, 200.0, 700.0])
    )
    # Errors -0.1, 0.1, 0.2: squares 0.06; around the mean 0.5.
    assert found.loans == 3
    assert found.r2 == pytest.approx(1 - 0.06 / 0.5)
    assert found.mae == pytest.approx(0.4 / 3)
    assert found.rmse == pytest.approx(math.sqrt(0.02))
    assert found.spearman == pytest.approx(1.0)
    # Cash: 800 came in, 10 + 80 + 560 = 650 was forecast.
    assert found.deviation == pytest.approx(150 / 650)


def test_against_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(0)
    actual, ead = rng.beta(0.3, 0.8, 500), rng.lognormal(8, 2, 500)
    forecast = 0.5 * actual + 0.3 * rng.random(500)
    found = accuracy(actual, forecast, ead)
    assert found.r2 == pytest.approx(metrics.r2_score(actual, forecast))
    assert found.mae == pytest.approx(metrics.mean_absolute_error(actual, forecast))
    assert found.rmse == pytest.approx(metrics.root_mean_squared_error(actual, forecast))
    ranks = np.corrcoef(stats.rankdata(actual), stats.rankdata(forecast))[0, 1]
    assert found.spearman == pytest.approx(ranks)


def test_a_forecast_too_high_deviates_below_zero() -> None:
    found = accuracy(np.array([0.1, 0.2]), np.array([0.2, 0.4]), np.array([1.0, 1.0]))
    assert found.deviation == pytest.approx(-0.5)


def test_a_constant_forecast_has_no_rank() -> None:
    found = accuracy(np.array([0.1, 0.2]), np.array([0.3, 0.3]), np.array([1.0, 1.0]))
    assert math.isnan(found.spearman)
    assert found.r2 < 0


@pytest.mark.parametrize(
    ("actual", "forecast", "fault"),
    [([0.1], [0.1], "two or more loans"), ([0.1, 0.2], [0.1], "equal lengths")],
)
def test_too_few_or_unequal(actual: list[float], forecast: list[float], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        accuracy(np.array(actual), np.array(forecast), np.ones(len(actual)))


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="forecast has 1 others"):
        accuracy(np.zeros(2), np.array([0.1, math.nan]), np.ones(2))
