"""The t-tests against a worked example, SciPy, and their own promise of false alarms."""

import numpy as np
import pytest
from scipy import stats

from training.validation.t_tests import elbe_t_test, lgd_t_test


def test_a_hand_worked_example() -> None:
    # d = 0.1, 0.3, -0.1, 0.1: mean 0.1, sum of squares 0.08, s = sqrt(0.08 / 3), T = 2 * 0.1 / s.
    found = elbe_t_test(np.array([0.5, 0.8, 0.3, 0.6]), np.array([0.4, 0.5, 0.4, 0.5]))
    assert found.mean == pytest.approx(0.1)
    assert found.standard_deviation == pytest.approx(0.163299, abs=1e-6)
    assert found.statistic == pytest.approx(1.224745, abs=1e-6)
    # Tables of Student's t: 3 degrees, 1.2247 cuts off 0.1540 in one tail.
    assert found.p_value == pytest.approx(0.30806, abs=1e-4)
    assert found.note is not None
    assert "4 loans" in found.note


def test_both_are_scipys_test_of_the_paired_differences() -> None:
    rng = np.random.default_rng(2)
    estimated = rng.uniform(size=200)
    realised = estimated + rng.normal(0.02, 0.2, 200)
    for test, alternative in ((elbe_t_test, "two-sided"), (lgd_t_test, "greater")):
        expected = stats.ttest_1samp(realised - estimated, 0, alternative=alternative)
        found = test(realised, estimated)
        assert found.statistic == pytest.approx(expected.statistic)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.note is None


def test_losses_below_the_estimate_are_no_finding_of_the_one_sided_test() -> None:
    rng = np.random.default_rng(3)
    estimated = rng.uniform(size=100)
    realised = estimated - 0.1 + rng.normal(0, 0.1, 100)
    one, two = lgd_t_test(realised, estimated), elbe_t_test(realised, estimated)
    assert one.p_value is not None
    assert two.p_value is not None
    assert one.p_value > 0.999
    assert two.p_value < 1e-6


@pytest.mark.parametrize(
    ("realised", "note"), [([], "0 loans"), ([0.4], "1 loans"), ([0.3, 0.3, 0.3], "s is 0")]
)
def test_what_cannot_be_tested_is_said(realised: list[float], note: str) -> None:
    values = np.array(realised, dtype=np.float64)
    found = elbe_t_test(values, values - 0.1)
    assert found.statistic is None
    assert found.p_value is None
    assert found.note is not None
    assert note in found.note


def test_an_open_loan_is_refused_and_so_are_unequal_lengths() -> None:
    with pytest.raises(ValueError, match="leave open loans out"):
        elbe_t_test(np.array([0.5, np.nan]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="pairs"):
        elbe_t_test(np.zeros(3), np.zeros(2))
