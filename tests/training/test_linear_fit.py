"""The linear fit against scikit-learn, and the ridge by evidence against the full likelihood."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import LogisticRegression, Ridge

from models.linear import CodedColumn
from models.link import Link
from training.linear_fit import evidence_ridge, fit_linear


def columns(count: int) -> tuple[CodedColumn, ...]:
    return tuple(CodedColumn(feature=f"x{n}", code="rank") for n in range(count))


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(300, 4))
    rate = 1 / (1 + np.exp(-(matrix @ [0.8, -0.5, 0.0, 0.2] - 1 + rng.normal(size=300))))
    weight = rng.uniform(0.3, 2.0, 300)
    return matrix, rate, weight / weight.mean()


def test_fractional_logit_is_a_logistic_regression_on_split_rows(
    sample: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    matrix, rate, weight = sample
    ridge = 7.0
    found = fit_linear(columns(4), matrix, rate, weight, "logit", ridge)
    # A rate of 0.3 is 0.3 of a payer and 0.7 of a defaulter.
    mean = np.average(rate, weights=weight)
    reference = LogisticRegression(C=1 / (ridge * mean * (1 - mean)), tol=1e-10, max_iter=10_000)
    reference.fit(
        np.vstack([matrix, matrix]),
        np.repeat([1, 0], 300),
        sample_weight=np.concatenate([weight * rate, weight * (1 - rate)]),
    )
    np.testing.assert_allclose([c.weight for c in found.columns], reference.coef_[0], atol=1e-5)
    assert found.intercept == pytest.approx(reference.intercept_[0], abs=1e-5)


def test_identity_is_ridge_regression(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    matrix, rate, weight = sample
    found = fit_linear(columns(4), matrix, rate * 3 - 1, weight, "identity", 25.0)
    reference = Ridge(alpha=25.0).fit(matrix, rate * 3 - 1, sample_weight=weight)
    np.testing.assert_allclose([c.weight for c in found.columns], reference.coef_, atol=1e-6)
    assert found.intercept == pytest.approx(reference.intercept_, abs=1e-6)


def test_identity_in_closed_form(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    matrix, rate, weight = sample
    design = np.column_stack([matrix, np.ones(300)])
    penalty = np.diag([25.0] * 4 + [0.0])
    scaled = design.T * weight
    by_hand = np.linalg.solve(scaled @ design + penalty, scaled @ rate)
    found = fit_linear(columns(4), matrix, rate, weight, "identity", 25.0)
    weights = [*(c.weight for c in found.columns), found.intercept]
    np.testing.assert_allclose(weights, by_hand, atol=1e-6)


@pytest.mark.parametrize("link", ["logit", "identity"])
def test_a_share_of_the_ultimate_teaches_the_ultimate(link: Link) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(20_000, 1))
    ultimate = 1 / (1 + np.exp(1 - 0.7 * x[:, 0])) if link == "logit" else 0.4 + 0.1 * x[:, 0]
    share = rng.uniform(0.05, 1.0, 20_000)
    paid = share * ultimate * rng.uniform(0.0, 2.0, 20_000) * 0.999
    rate = np.clip(paid, 0, 1) if link == "logit" else paid
    found = fit_linear(columns(1), x, rate, np.ones(20_000), link, 1.0, share)
    intercept, slope = (-1.0, 0.7) if link == "logit" else (0.4, 0.1)
    assert found.intercept == pytest.approx(intercept, abs=0.05)
    assert found.columns[0].weight == pytest.approx(slope, abs=0.05)


def best_by_likelihood(matrix: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    """Largest Gaussian likelihood of the labels themselves, over the same strengths."""
    rows = len(label)
    design = matrix - np.average(matrix, axis=0, weights=weight)
    best, best_strength = -np.inf, np.nan
    for strength in np.geomspace(1.0, 1e5, 60):
        shape = np.diag(1 / weight) + design @ design.T / strength
        inverse = np.linalg.inv(shape)
        # Mean and variance where the likelihood is largest (generalised least squares).
        mean = (inverse @ label).sum() / inverse.sum()
        variance = (label - mean) @ inverse @ (label - mean) / rows
        found = multivariate_normal.logpdf(label, np.full(rows, mean), variance * shape)
        if found > best:
            best, best_strength = found, strength
    return best_strength


@pytest.mark.parametrize("signal", [0.0, 0.1, 0.3, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_by_evidence_has_the_largest_marginal_likelihood(
    signal: float, weighted: bool
) -> None:
    rng = np.random.default_rng(6)
    matrix = rng.normal(size=(50, 3)) + 0.4
    label = signal * matrix @ [1.0, -0.5, 0.3] + rng.normal(size=50)
    weight = rng.uniform(0.2, 3.0, 50) if weighted else np.ones(50)
    weight /= weight.mean()
    expected = best_by_likelihood(matrix, label, weight)
    assert evidence_ridge(matrix, label, weight) == pytest.approx(expected)


def test_noise_asks_for_a_strong_ridge_and_signal_for_a_weak_one() -> None:
    rng = np.random.default_rng(7)
    matrix, noise = rng.normal(size=(500, 10)), rng.normal(size=500)
    ones = np.ones(500)
    clear = matrix @ rng.normal(size=10) + noise
    assert evidence_ridge(matrix, noise, ones) > 300 > 10 > evidence_ridge(matrix, clear, ones)
