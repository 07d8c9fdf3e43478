"""Deviation: hand-worked figures, intervals that cover, tests that keep their level."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from training.validation.bootstrap import rows_interval, sums_interval
from training.validation.deviation import deviation, deviation_test, money_bias

Array = NDArray[np.float64]


def cash(rng: np.random.Generator, loans: int, factor: float = 1.0) -> tuple[Array, Array]:
    """Actual and forecast cash of loans whose exposures are skewed; actual is `factor` of it."""
    ead, rate = rng.lognormal(0, 1, loans), rng.beta(2, 4, loans)
    return ead * rng.beta(4 * rate, 4 * (1 - rate)) * factor, ead * rate


def test_a_hand_worked_deviation() -> None:
    found = deviation(np.array([10.0, 0.0, 62.0]), np.array([20.0, 30.0, 30.0]))
    assert (found.forecast_amount, found.actual_amount) == (80, 72)
    assert found.rate == pytest.approx(-0.1)
    assert found.collection_ratio == pytest.approx(0.9)
    assert deviation(np.array([1.0, 1.0]), np.zeros(2)).rate is None


@pytest.mark.parametrize(
    ("actual", "light"), [(95.0, "green"), (89.0, "amber"), (115.0, "amber"), (79.0, "red")]
)
def test_the_light(actual: float, light: str) -> None:
    assert deviation(np.array([actual]), np.array([100.0])).light == light


def test_the_interval_covers_the_true_ratio() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(150):
        actual, forecast = cash(rng, 300, 0.9)
        interval = deviation(actual, forecast).interval
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= -0.1 <= interval.high
    assert stats.binomtest(covered, 150, 0.95).pvalue > 0.01


def test_pooling_many_loans_gives_the_interval_of_the_loans() -> None:
    rng = np.random.default_rng(9)
    actual, forecast = cash(rng, 6_000)
    pooled = deviation(actual, forecast).interval
    ratio = actual.sum() / forecast.sum()
    error = np.std(actual - ratio * forecast) * np.sqrt(6_000) / forecast.sum()
    assert pooled.units == 1_000
    assert pooled.low == pytest.approx(ratio - 1 - 1.96 * error, abs=0.2 * error)
    assert pooled.high == pytest.approx(ratio - 1 + 1.96 * error, abs=0.2 * error)


def test_loans_of_a_vintage_share_its_luck() -> None:
    rng = np.random.default_rng(10)
    vintage = np.repeat(np.arange(20), 100)
    actual, forecast = cash(rng, 2_000)
    actual = actual * np.exp(rng.normal(0, 0.3, 20))[vintage]
    alone, together = deviation(actual, forecast), deviation(actual, forecast, vintage)

    def width(found: object) -> float:
        interval = found.interval  # type: ignore[attr-defined]
        return float(interval.high - interval.low)

    assert together.interval.units == 20
    assert width(together) > 2 * width(alone)
    thin = deviation(actual, forecast, vintage % 3).interval
    assert (thin.low, thin.note) == (None, "too few: 3 clusters, 8 are needed")


def test_no_spread_is_no_interval() -> None:
    found = sums_interval(lambda a, f: a / f, np.ones((5, 2)))
    assert found.low is None
    assert found.note is not None


def test_an_interval_of_whole_rows_is_that_of_the_mean() -> None:
    values = np.random.default_rng(11).normal(3, 2, 40_000)
    small = rows_interval(lambda v: float(v.mean()), values[:400])
    error = values[:400].std() / 20
    assert small.low == pytest.approx(values[:400].mean() - 1.96 * error, abs=0.25 * error)
    large = rows_interval(lambda v: float(v.mean()), values)
    assert large.high == pytest.approx(values.mean() + 1.96 * 2 / 200, abs=0.25 * 2 / 200)
    assert rows_interval(lambda v: None, values).low is None


def test_the_test_keeps_its_level_and_finds_what_is_there() -> None:
    rng = np.random.default_rng(12)
    false, found = 0, 0
    for _ in range(400):
        actual, forecast = cash(rng, 900)
        # A shock to all loans of a vintage is no fault of the group.
        vintage = rng.integers(0, 12, 900)
        actual = actual * np.exp(rng.normal(0, 0.2, 12))[vintage]
        group = rng.uniform(size=900) < 0.4
        test = deviation_test(actual, forecast, group, vintage)
        assert test is not None
        assert test.degrees == 11
        false += test.p_value < 0.05
        wrong = deviation_test(actual * np.where(group, 0.7, 1), forecast, group, vintage)
        assert wrong is not None
        found += wrong.p_value < 0.05
    # Few clusters of uneven size reject a little too often; see Cameron & Miller (2015).
    assert false / 400 < 0.085
    assert found / 400 > 0.9


def test_against_zero_it_is_the_t_test_of_equal_forecasts() -> None:
    actual = np.random.default_rng(13).uniform(size=60)
    found = deviation_test(actual, np.full(60, 0.45))
    assert found is not None
    expected = stats.ttest_1samp(actual / 0.45 - 1, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.difference == pytest.approx(actual.mean() / 0.45 - 1)
    assert deviation_test(actual, np.zeros(60)) is None


def test_bias_of_loss_says_its_sign_in_words() -> None:
    ead, realised = np.array([100.0, 300.0]), np.array([0.5, 0.5])
    high = money_bias(np.array([0.5, 0.6]), realised, ead)
    assert high.rate == pytest.approx(0.15)
    assert high.reading == "estimated loss is 15.0% above what was lost: cautious"
    low = money_bias(np.array([0.5, 0.4]), realised, ead)
    assert low.reading == "estimated loss is 15.0% below what was lost: optimistic"
    assert money_bias(realised, np.zeros(2), ead).rate is None
