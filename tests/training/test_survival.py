"""Censored workouts: a printed table, a plain loop, and a simulation with a known truth."""

import numpy as np
import pytest

from training.survival import complete_open, share_resolved

# Weeks of remission under 6-MP, Freireich et al. (1963), Blood 21, 699-716; the product-limit table
# is printed in Kleinbaum & Klein, Survival Analysis, chapter 2.
REMISSION_ENDED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
STILL_IN_REMISSION = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
SURVIVAL = {
    5: 1.0,
    6: 0.857,
    7: 0.807,
    10: 0.753,
    13: 0.690,
    16: 0.627,
    22: 0.538,
    23: 0.448,
    40: 0.448,
}


def test_printed_kaplan_meier_table() -> None:
    durations = np.array(REMISSION_ENDED + STILL_IN_REMISSION, dtype=np.float64)
    ended = np.arange(len(durations)) < len(REMISSION_ENDED)
    share = share_resolved(durations, ended, np.array(list(SURVIVAL), dtype=np.float64))
    assert (1 - share).round(3).tolist() == list(SURVIVAL.values())


def test_without_censoring_it_is_the_empirical_share() -> None:
    durations = np.array([1.0, 1.0, 4.0, 9.0])
    share = share_resolved(durations, np.ones(4, dtype=bool), np.array([0.0, 1.0, 5.0, 9.0]))
    assert share == pytest.approx([0.0, 0.5, 0.75, 1.0])


def band(months: float) -> int:
    return max(n for n, start in enumerate((0, 3, 6, 12, 18, 24, 36)) if months >= start)


def by_loop(
    design: np.ndarray, rates: np.ndarray, durations: np.ndarray, resolved: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same by least squares with made-up rows for the penalties, and a loop over the law."""
    columns = design.shape[1]
    rows = [
        [1.0, *design[n], *(float(band(durations[n]) == b) for b in range(7))]
        for n in range(len(rates))
        if resolved[n]
    ]
    roots = np.sqrt([1e-8] + [100.0] * columns + [5.0] * 7)
    stacked = np.vstack([rows, np.diag(roots)])
    wanted = np.concatenate([rates[resolved], np.zeros(len(roots))])
    beta = np.linalg.lstsq(stacked, wanted, rcond=None)[0]
    times = sorted(set(durations[resolved]))
    survival, mass = 1.0, {}
    for time in times:
        at_risk = sum(d >= time for d in durations)
        ended = sum(d == time and r for d, r in zip(durations, resolved, strict=True))
        mass[time] = survival * ended / at_risk
        survival -= mass[time]
    labels, weights = rates.copy(), np.ones(len(rates))
    for n in range(len(rates)):
        if resolved[n]:
            continue
        later = {time: share for time, share in mass.items() if time > durations[n]}
        total = sum(later.values())
        left = 1 - sum(share for time, share in mass.items() if time <= durations[n])
        weights[n] = total / left if total else 0.0
        own = beta[0] + design[n] @ beta[1 : 1 + columns]
        value = sum(share * beta[1 + columns + band(time)] for time, share in later.items())
        labels[n] = own + (value / total if total else 0.0)
    return labels, weights


@pytest.mark.parametrize("seed", range(5))
def test_completed_labels_against_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(60, 2))
    design -= design.mean(axis=0)
    durations = rng.integers(0, 50, 60).astype(np.float64)
    resolved = rng.random(60) < 0.6
    rates = np.where(resolved, rng.random(60), 0.0)
    labels, weights = complete_open(design, rates, durations, resolved)
    expected, probability = by_loop(design, rates, durations, resolved)
    np.testing.assert_allclose(weights, probability, atol=1e-9)
    np.testing.assert_allclose(labels, expected, atol=1e-5)


def test_rates_of_open_cases_are_never_read() -> None:
    rng = np.random.default_rng(1)
    design, durations = rng.normal(size=(40, 1)), rng.integers(1, 30, 40).astype(np.float64)
    resolved = np.arange(40) % 2 == 0
    rates = rng.random(40)
    forged = np.where(resolved, rates, 99.0)
    for one, two in zip(
        complete_open(design, rates, durations, resolved),
        complete_open(design, forged, durations, resolved),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_closed_only_is_biased_and_completed_is_not() -> None:
    # What is slow brings less, and half of what is slow is still open: the truth is known.
    rng = np.random.default_rng(12)
    count = 20_000
    months = rng.integers(1, 49, count).astype(np.float64)
    rates = 0.8 - 0.012 * months + rng.normal(0, 0.1, count)
    watched = rng.integers(1, 60, count).astype(np.float64)
    resolved = months <= watched
    truth = 0.8 - 0.012 * 24.5
    closed_only = rates[resolved].mean()
    labels, weights = complete_open(
        np.zeros((count, 1)), rates, np.minimum(months, watched), resolved
    )
    completed = np.average(labels, weights=weights)
    assert closed_only - truth > 0.05
    assert abs(completed - truth) < 0.01
