import numpy as np
import pytest

from training.comparison import paired_gains


def test_gains_are_differences_of_the_figures_and_their_error_that_of_the_mean() -> None:
    rng = np.random.default_rng(5)
    actual = rng.uniform(size=4_000)
    first = actual + rng.normal(0, 0.2, 4_000)
    second = actual + rng.normal(0, 0.1, 4_000)
    gains = paired_gains(actual, first, second, np.ones(4_000))
    by_loan = np.abs(actual - first) - np.abs(actual - second)
    assert gains["MAE"].gain == pytest.approx(by_loan.mean())
    # The bootstrap error of a mean is the textbook one.
    assert gains["MAE"].standard_error == pytest.approx(by_loan.std() / np.sqrt(4_000), rel=0.1)
    assert gains["RMSE"].beyond_noise
    assert gains["Spearman"].beyond_noise


def test_noise_is_not_beyond_noise_and_a_constant_has_no_rank() -> None:
    rng = np.random.default_rng(6)
    actual = rng.uniform(size=500)
    first, second = (np.full(500, 0.5) + rng.normal(0, 1e-3, 500) for _ in range(2))
    assert not paired_gains(actual, first, second, np.ones(500))["RMSE"].beyond_noise
    assert "Spearman" not in paired_gains(actual, first, np.full(500, 0.5), np.ones(500))
