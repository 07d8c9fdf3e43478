"""The fit against Kaplan-Meier where it must agree, and against a simulated law."""

from collections.abc import Callable

import numpy as np
import pytest

from training.dataset import TrainingSet
from training.errors import TrainingError
from training.resolution_fit import fit_resolution
from training.survival import share_resolved
from training.survival_metrics import harrell_concordance

Array = np.ndarray


def drawn(count: int, slope: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """Quarterly hazard of expit(-1.5 + slope * x), 3 to 60 months: x, watched, seen, done."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, count)
    hazard = 1 / (1 + np.exp(1.5 - slope * x))
    true = 3.0 * rng.geometric(hazard)
    watched = 3.0 * rng.integers(1, 21, count)
    return x, watched, np.minimum(true, watched), true <= watched


def test_without_a_feature_that_matters_it_is_kaplan_meier(
    set_of: Callable[..., TrainingSet],
) -> None:
    x, watched, durations, resolved = drawn(4000, 0.0, 5)
    data = set_of({"x": x}, np.zeros(len(x)))
    model = fit_resolution(data.features, data.spec, durations, resolved, watched)
    horizons = (3, 6, 12, 24, 36, 48)
    share = model.share_resolved(data.features, horizons).mean(axis=0)
    expected = share_resolved(durations, resolved, np.array(horizons, dtype=np.float64))
    np.testing.assert_allclose(share, expected, atol=0.01)


def test_it_finds_the_law_of_each_loan(set_of: Callable[..., TrainingSet]) -> None:
    x, watched, durations, resolved = drawn(6000, 1.2, 6)
    data = set_of({"x": x}, np.zeros(len(x)))
    model = fit_resolution(data.features, data.spec, durations, resolved, watched)
    hazard = 1 / (1 + np.exp(1.5 - 1.2 * x))
    horizons = (6, 12, 24, 48)
    shares = model.share_resolved(data.features, horizons)
    for place, months in enumerate(horizons):
        expected = 1 - (1 - hazard) ** (months / 3)
        assert np.abs(shares[:, place] - expected).mean() < 0.02
    risk = model.effects.score(data.features)
    assert harrell_concordance(durations[:1000], resolved[:1000], risk[:1000]) > 0.6


def test_it_ends_where_too_few_were_watched(set_of: Callable[..., TrainingSet]) -> None:
    rng = np.random.default_rng(2)
    data = set_of({"x": rng.random(200)}, np.zeros(200))
    # 29 are followed past month 12, one fewer than needed.
    watched = np.where(np.arange(200) < 29, 24.0, 12.0)
    resolved = (np.arange(200) % 3 == 0) & (watched == 12)
    model = fit_resolution(data.features, data.spec, watched, resolved, watched)
    assert model.interval_ends_months[-1] == 12


def test_the_curve_goes_on_after_the_last_workout_has_resolved(
    set_of: Callable[..., TrainingSet],
) -> None:
    data = set_of({"x": np.arange(200.0) % 9}, np.zeros(200))
    durations = 1.0 + np.arange(200.0) % 12
    everyone = np.ones(200, dtype=bool)
    model = fit_resolution(data.features, data.spec, durations, everyone, np.full(200, 60.0))
    shares = model.share_resolved(data.features, (6, 12, 60)).mean(axis=0)
    assert shares == pytest.approx([0.5, 1.0, 1.0], abs=0.04)


def test_a_month_inside_the_first_quarter_counts(set_of: Callable[..., TrainingSet]) -> None:
    data = set_of({"x": np.arange(100.0) % 7}, np.zeros(100))
    durations = np.where(np.arange(100) < 40, 1.0, 3.0)
    followed = np.full(100, 3.0)
    model = fit_resolution(data.features, data.spec, durations, np.arange(100) < 40, followed)
    assert model.share_resolved(data.features, (3,)).mean() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("resolved", [np.zeros(100, dtype=bool), np.arange(100) < 5])
def test_nothing_to_learn_from_is_refused(
    set_of: Callable[..., TrainingSet], resolved: Array
) -> None:
    data = set_of({"x": np.arange(100.0)}, np.zeros(100))
    # None resolved within the first quarter; or too few followed through it.
    followed = np.full(100, 2.0 if resolved.any() else 24.0)
    with pytest.raises(TrainingError, match="time to resolution"):
        fit_resolution(data.features, data.spec, followed, resolved, followed)
