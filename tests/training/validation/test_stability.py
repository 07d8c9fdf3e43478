"""Stability and concentration against printed formulas worked by hand, and against chance."""

import numpy as np
import pytest

from training.validation.stability import concentration, stability


def test_a_hand_worked_index() -> None:
    found = stability(np.array([50, 30, 20]), np.array([80, 80, 40]))
    # 0.40 against 0.50, 0.40 against 0.30, 0.20 against 0.20.
    by_hand = -0.1 * np.log(0.4 / 0.5) + 0.1 * np.log(0.4 / 0.3)
    assert found.psi == pytest.approx(by_hand)
    assert found.psi == pytest.approx(0.05108, abs=1e-5)
    assert found.expected == pytest.approx(2 * (1 / 100 + 1 / 200))
    # The 95% point of chi-squared with 2 degrees is 5.991.
    assert found.chance_limit == pytest.approx(5.991 * 0.015, abs=1e-4)
    assert not found.beyond_chance
    assert not found.smoothed


def test_the_chance_level_is_that_of_samples_of_one_distribution() -> None:
    rng = np.random.default_rng(7)
    shares = np.array([0.05, 0.1, 0.2, 0.25, 0.3, 0.1])
    found = [
        stability(rng.multinomial(2_000, shares), rng.multinomial(1_000, shares))
        for _ in range(2_000)
    ]
    assert np.mean([one.psi for one in found]) == pytest.approx(found[0].expected, rel=0.05)
    assert np.mean([one.beyond_chance for one in found]) == pytest.approx(0.05, abs=0.015)


def test_empty_segments_are_smoothed_and_said() -> None:
    found = stability(np.array([10, 0, 10]), np.array([10, 10, 0]))
    # Half a loan to each: 10.5, 0.5, 10.5 of 21.5 against 10.5, 10.5, 0.5.
    p, q = np.array([10.5, 0.5, 10.5]) / 21.5, np.array([10.5, 10.5, 0.5]) / 21.5
    assert found.psi == pytest.approx(np.sum((q - p) * np.log(q / p)))
    assert found.smoothed
    # Empty on both sides is no segment.
    with_empty = stability(np.array([50, 0, 50]), np.array([40, 0, 60]))
    assert with_empty.psi == stability(np.array([50, 50]), np.array([40, 60])).psi
    assert not with_empty.smoothed
    with pytest.raises(ValueError, match="loans on both sides"):
        stability(np.array([1, 2]), np.array([0, 0]))


def test_concentration_from_even_to_one() -> None:
    assert concentration(np.array([5.0, 5.0, 5.0, 5.0])).index == pytest.approx(0)
    assert concentration(np.array([0.0, 7.0, 0.0])).index == pytest.approx(1)
    # Shares 0.75 and 0.25: CV = sqrt(2 * 2 * 0.0625) = 0.5; HI = 1 + log2(1.25 / 2).
    found = concentration(np.array([3.0, 1.0]))
    assert found.variation == pytest.approx(0.5)
    assert found.index == pytest.approx(1 + np.log2(0.625))
    for bad in ([1.0], [0.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="two or more segments"):
            concentration(np.array(bad))
