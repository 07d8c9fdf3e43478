"""Generalised AUC against all pairs, SciPy and Monte Carlo; loss capture against all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from training.validation.discrimination import auc_change, generalised_auc, loss_capture
from training.validation.rate_segments import segment_of, segment_table

Array = NDArray[np.float64]


def auc_over_pairs(estimate: NDArray[np.int64], outcome: NDArray[np.int64]) -> float:
    """Share of pairs with different estimates whose outcomes agree, ties on those half."""
    untied, points = 0, 0.0
    for i in range(len(estimate)):
        for j in range(i):
            if estimate[i] != estimate[j]:
                untied += 1
                sign = np.sign(estimate[i] - estimate[j]) * np.sign(outcome[i] - outcome[j])
                points += (sign + 1) / 2
    return points / untied


def test_the_auc_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    estimated = rng.uniform(-0.1, 1.1, 120)
    realised = np.clip(estimated + rng.normal(0, 0.3, 120), -0.2, 1.3)
    found = generalised_auc(segment_table(estimated, realised))
    assert found.loans == 120
    assert found.auc == pytest.approx(auc_over_pairs(segment_of(estimated), segment_of(realised)))


@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12),
               elements=st.integers(0, 9))
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_it_is_somers_d_of_scipy(table: NDArray[np.int64]) -> None:
    found = generalised_auc(table)
    if (table.sum(axis=1) > 0).sum() < 2:
        assert found.auc is None
        assert found.note is not None
        return
    if (table.sum(axis=0) > 0).sum() < 2:
        # One outcome: all pairs are tied on it.
        assert found.auc == 0.5
        return
    expected = stats.somersd(table).statistic
    assert found.auc is not None
    assert 2 * found.auc - 1 == pytest.approx(expected, abs=1e-12)


def test_the_standard_error_is_that_of_many_samples() -> None:
    rng = np.random.default_rng(5)
    errors, values = [], []
    for _ in range(600):
        estimated = rng.uniform(size=400)
        realised = np.clip(estimated + rng.normal(0, 0.4, 400), 0, 1)
        found = generalised_auc(segment_table(estimated, realised))
        assert found.auc is not None
        assert found.standard_error is not None
        values.append(found.auc)
        errors.append(found.standard_error)
    # 600 samples tell a standard deviation to 3%.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.1)


def test_a_fall_since_development() -> None:
    table = np.array([[30, 10], [10, 30]])
    now = generalised_auc(table)
    # P - Q = 2(900 - 100) of w_r = 2 * 1600: D = 0.5.
    assert now.auc == pytest.approx(0.75)
    fallen = auc_change(0.75 + 1.6449 * (now.standard_error or 0), now)
    assert fallen is not None
    assert fallen.statistic == pytest.approx(1.6449)
    assert fallen.p_value == pytest.approx(0.05, abs=1e-4)
    perfect = generalised_auc(np.array([[3, 0], [0, 3]]))
    assert perfect.auc == 1
    assert auc_change(0.9, perfect) is None


def capture_over_pairs(order: Array, realised: Array, ead: Array) -> float:
    weight = ead[:, None] * ead[None, :]
    apart = np.sign(order[:, None] - order[None, :]) * (realised[:, None] - realised[None, :])
    return float(np.sum(weight * apart))


def test_loss_capture_is_the_covariance_over_all_pairs_whatever_the_order() -> None:
    rng = np.random.default_rng(6)
    estimated = np.round(rng.uniform(size=150), 1)
    realised = np.clip(estimated + rng.normal(0, 0.3, 150), -0.1, 1.2)
    ead = rng.lognormal(10, 1, 150)
    expected = capture_over_pairs(estimated, realised, ead)
    expected /= capture_over_pairs(realised, realised, ead)
    assert loss_capture(estimated, realised, ead).ratio == pytest.approx(expected)
    order = rng.permutation(150)
    again = loss_capture(estimated[order], realised[order], ead[order])
    assert again.ratio == pytest.approx(expected, abs=1e-12)


def test_loss_capture_at_its_ends() -> None:
    realised, ead = np.array([0.9, 0.5, 0.1]), np.array([1.0, 2.0, 3.0])
    assert loss_capture(realised**2, realised, ead).ratio == pytest.approx(1)
    assert loss_capture(-realised, realised, ead).ratio == pytest.approx(-1)
    assert loss_capture(np.ones(3), realised, ead).ratio == pytest.approx(0)
    assert loss_capture(realised, np.zeros(3), ead).note == "there is no loss to capture"
    assert loss_capture(realised, np.full(3, 0.4), ead).note == "all loans lost the same rate"


def test_segments_and_what_lies_outside() -> None:
    rates = [-0.5, 0.0, 0.049999, 0.05, 0.1, 0.3, 1 - 0.7, 0.95, 1.0, 2.0]
    assert segment_of(np.array(rates)).tolist() == [0, 0, 0, 1, 2, 4, 4, 10, 11, 11]
    table = segment_table(np.array([0.02, 0.02, 1.5]), np.array([0.5, -0.1, 1.0]))
    assert table.sum() == 3
    assert (table[0, 6], table[0, 0], table[11, 11]) == (1, 1, 1)
    with pytest.raises(ValueError, match="1 rates are not finite"):
        segment_of(np.array([0.5, np.nan]))
