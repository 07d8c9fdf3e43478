"""Accuracy, calibration and coverage against a second library and hand-worked figures."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    root_mean_squared_error,
)

from training.metrics import accuracy
from training.validation.accuracy import accuracy_figures, calibration_table
from training.validation.coverage import interval_coverage, pinball_loss


def test_figures_are_those_of_scikit_learn_by_loan_and_by_money() -> None:
    rng = np.random.default_rng(20)
    forecast = rng.uniform(size=500)
    actual = forecast + rng.normal(0, 0.2, 500)
    for weight in (np.ones(500), rng.lognormal(10, 1, 500)):
        found = accuracy_figures(actual, forecast, weight)
        expected = {
            "r2": r2_score(actual, forecast, sample_weight=weight),
            "mae": mean_absolute_error(actual, forecast, sample_weight=weight),
            "rmse": root_mean_squared_error(actual, forecast, sample_weight=weight),
        }
        for name, value in expected.items():
            assert found[name].value == pytest.approx(value)
            interval = found[name].interval
            assert interval.low is not None
            assert interval.high is not None
            assert interval.low < value < interval.high
    ours = accuracy(actual, forecast, np.ones(500))
    assert accuracy_figures(actual, forecast, np.ones(500))["r2"].value == pytest.approx(ours.r2)


def test_the_interval_of_the_mean_miss_is_the_textbook_one() -> None:
    rng = np.random.default_rng(21)
    actual, forecast = rng.uniform(size=900), np.full(900, 0.5)
    interval = accuracy_figures(actual, forecast, np.ones(900))["mae"].interval
    miss = np.abs(actual - forecast)
    error = miss.std() / 30
    assert interval.low == pytest.approx(miss.mean() - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(miss.mean() + 1.96 * error, abs=0.2 * error)


def test_outcomes_that_are_all_one_have_no_r2() -> None:
    found = accuracy_figures(np.full(60, 0.4), np.linspace(0, 1, 60), np.ones(60))
    assert found["r2"].value is None
    assert found["r2"].interval.low is None


def test_calibration_holds_every_loan_and_keeps_equal_forecasts_together() -> None:
    rng = np.random.default_rng(22)
    forecast = np.concatenate([np.full(400, 0.1), rng.uniform(0.2, 1, 600)])
    actual, ead = forecast * 0.9, rng.lognormal(10, 1, 1_000)
    table = calibration_table(actual, forecast, ead)
    assert table["loans"].sum() == 1_000
    assert table["loans"][0] == 400
    assert table["ead_amount"].sum() == pytest.approx(ead.sum())
    np.testing.assert_allclose(table["deviation_rate"], -0.1)
    assert table["forecast_rate"].is_sorted()
    assert table["note"].null_count() == table.height
    first = forecast == forecast[0]
    assert table["actual_rate"][0] == pytest.approx(np.average(actual[first], weights=ead[first]))


def test_a_thin_tenth_says_so() -> None:
    forecast = np.linspace(0, 1, 100)
    note = calibration_table(forecast, forecast, np.ones(100))["note"][3]
    assert note == "too few: 10 loans, 50 are needed"


def test_coverage_with_its_exact_interval() -> None:
    actual = np.array([0.1, 0.5, 0.9, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 2.0])
    found = interval_coverage(actual, np.full(10, 0.1), np.full(10, 0.9))
    assert (found.within, found.rate) == (9, 0.9)
    # Clopper & Pearson by the beta distribution: 9 of 10.
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 9, 2))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 10, 1))
    assert found.low == pytest.approx(0.5550, abs=1e-4)
    assert found.mean_width == pytest.approx(0.8)
    with pytest.raises(ValueError, match="10 intervals end below"):
        interval_coverage(actual, np.full(10, 0.9), np.full(10, 0.1))


def test_pinball_loss_is_that_of_scikit_learn_and_lowest_at_the_quantile() -> None:
    rng = np.random.default_rng(23)
    actual = rng.uniform(size=2_000)
    losses = {q: pinball_loss(actual, np.full(2_000, q), 0.9) for q in (0.7, 0.9, 0.97)}
    assert losses[0.9] == pytest.approx(mean_pinball_loss(actual, np.full(2_000, 0.9), alpha=0.9))
    assert min(losses, key=lambda q: losses[q]) == 0.9
    with pytest.raises(ValueError, match="between 0 and 1"):
        pinball_loss(actual, actual, 1.0)
