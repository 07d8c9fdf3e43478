"""Each measure against a plain loop over pairs or loans, and against what must hold."""

import numpy as np
import pytest

from training.survival import share_resolved
from training.survival_metrics import (
    brier_scores,
    harrell_concordance,
    integrated_brier,
    uno_concordance,
)

Array = np.ndarray


def drawn(seed: int, count: int = 80) -> tuple[Array, Array, Array]:
    """Durations with many ties, between resolved and open ones too; tied risks."""
    rng = np.random.default_rng(seed)
    true = rng.integers(1, 15, count)
    watched = rng.integers(4, 20, count)
    risk = np.round(-true / 5 + rng.normal(size=count), 1)
    return np.minimum(true, watched).astype(np.float64), true <= watched, risk


def watched_beyond(durations: Array, resolved: Array, time: float, *, before: bool) -> float:
    """Kaplan-Meier of the censoring, one distinct time after the other."""
    chance = 1.0
    for at in sorted(set(durations[~resolved])):
        if at > time or (before and at == time):
            break
        # Those resolved at the same time have left already.
        at_risk = sum(
            d > at or (d == at and not r) for d, r in zip(durations, resolved, strict=True)
        )
        lost = sum(d == at and not r for d, r in zip(durations, resolved, strict=True))
        chance *= 1 - lost / at_risk
    return chance


def concordance_by_pairs(durations: Array, resolved: Array, risk: Array, weight: Array) -> float:
    right = total = 0.0
    for i in range(len(durations)):
        for j in range(len(durations)):
            sooner = durations[i] < durations[j] or (durations[i] == durations[j] and ~resolved[j])
            if i == j or not resolved[i] or not sooner:
                continue
            total += weight[i]
            right += weight[i] * (float(risk[i] > risk[j]) + 0.5 * float(risk[i] == risk[j]))
    return right / total


@pytest.mark.parametrize("seed", range(4))
def test_harrell_by_pairs(seed: int) -> None:
    durations, resolved, risk = drawn(seed)
    expected = concordance_by_pairs(durations, resolved, risk, np.ones(len(risk)))
    assert harrell_concordance(durations, resolved, risk) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_uno_by_pairs(seed: int) -> None:
    durations, resolved, risk = drawn(seed)
    weight = np.array(
        [
            1 / watched_beyond(durations, resolved, d, before=True) ** 2 if d < 12 else 0.0
            for d in durations
        ]
    )
    expected = concordance_by_pairs(durations, resolved, risk, weight)
    assert uno_concordance(durations, resolved, risk, 12) == pytest.approx(expected, abs=1e-12)


def test_order_known_without_error_and_without_knowledge() -> None:
    durations, resolved, _ = drawn(9)
    assert harrell_concordance(durations, resolved, -durations) == 1.0 or not resolved.all()
    assert harrell_concordance(durations, np.ones(80, dtype=bool), -durations) == 1.0
    assert harrell_concordance(durations, resolved, np.zeros(80)) == 0.5
    assert np.isnan(harrell_concordance(durations, np.zeros(80, dtype=bool), -durations))


def test_uno_does_not_move_with_the_censoring() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=3000)
    true = rng.exponential(np.exp(-x) * 20)
    watched = rng.uniform(5, 40, 3000)
    everything = uno_concordance(true, np.ones(3000, dtype=bool), x, 20)
    censored = uno_concordance(np.minimum(true, watched), true <= watched, x, 20)
    assert censored == pytest.approx(everything, abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_brier_by_loans(seed: int) -> None:
    durations, resolved, _ = drawn(seed)
    at = np.array([2.0, 5.0, 9.0])
    shares = np.random.default_rng(seed).random((len(durations), 3))
    expected = np.zeros(3)
    for place, time in enumerate(at):
        for n, duration in enumerate(durations):
            if resolved[n] and duration <= time:
                chance = watched_beyond(durations, resolved, duration, before=True)
                expected[place] += (1 - shares[n, place]) ** 2 / chance
            elif duration > time:
                chance = watched_beyond(durations, resolved, time, before=False)
                expected[place] += shares[n, place] ** 2 / chance
    expected /= len(durations)
    np.testing.assert_allclose(brier_scores(durations, resolved, shares, at), expected)
    area = (expected[0] + expected[1]) / 2 * 3 + (expected[1] + expected[2]) / 2 * 4
    assert integrated_brier(durations, resolved, shares, at) == pytest.approx(area / 7)


def test_without_censoring_brier_is_the_mean_squared_error() -> None:
    durations = np.array([1.0, 3.0, 3.0, 8.0])
    shares = np.tile(share_resolved(durations, np.ones(4, dtype=bool), np.array([3.0])), (4, 1))
    scores = brier_scores(durations, np.ones(4, dtype=bool), shares, np.array([3.0]))
    assert scores == pytest.approx([0.75 * 0.25])


def test_true_law_beats_the_pooled_one_under_censoring() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=4000)
    true = rng.exponential(np.exp(-x) * 20)
    watched = rng.uniform(5, 60, 4000)
    durations, resolved = np.minimum(true, watched), true <= watched
    at = np.arange(2.0, 40.0, 2.0)
    own = 1 - np.exp(-at / (np.exp(-x) * 20)[:, None])
    pooled = np.tile(share_resolved(durations, resolved, at), (4000, 1))
    gain = integrated_brier(durations, resolved, pooled, at) - integrated_brier(
        durations, resolved, own, at
    )
    assert gain > 0.02


def test_times_that_nobody_was_watched_for_are_refused() -> None:
    durations = np.array([3.0, 4.0, 5.0])
    with pytest.raises(ValueError, match="watched for 5 months"):
        brier_scores(durations, np.zeros(3, dtype=bool), np.zeros((3, 2)), np.array([2.0, 5.0]))
