"""Uncertainty of a fitted model: read where it can be, and said where it cannot."""

from collections.abc import Callable

import numpy as np

from training.dataset import TrainingSet
from training.settings import FitSettings
from training.uncertainty_fit import fit_uncertainty

MakeSet = Callable[..., TrainingSet]
SETTINGS = FitSettings("shallow", 1.0)


def test_a_shock_that_a_vintage_shares_is_found(set_of: MakeSet) -> None:
    rng = np.random.default_rng(3)
    quarters = np.repeat(np.arange(32), 120)
    shock = rng.normal(0, 0.25, 32)[quarters]
    x = rng.uniform(0, 1, len(quarters))
    rate = np.clip((0.2 + 0.3 * x) * (1 + shock) + rng.normal(0, 0.05, len(x)), 0, 1)
    data = set_of({"x": x}, rate, days=quarters * 91 + 5)
    uncertainty, caveats = fit_uncertainty(data, SETTINGS)
    assert uncertainty is not None
    assert uncertainty.shared is not None
    assert caveats == ()
    # The fitted level wanders with the vintages seen so far, so the misses are a little larger.
    assert 0.15 < uncertainty.shared.vintage_sd < 0.40
    low, high = uncertainty.rates.quantiles(
        np.array([0.35]), data.features.select(a="x")["a"].cast(str)[:1], np.array([0.1, 0.9])
    )[0]
    assert low < 0.3
    assert high > 0.4


def test_hindsight_gives_the_loans_and_its_absence_the_caveat(set_of: MakeSet) -> None:
    rng = np.random.default_rng(2)
    # Loans pay all at month 30 or nothing; on the day of a fold most are still open.
    data = set_of(
        {"x": rng.normal(size=700)},
        rng.integers(0, 2, 700),
        timing="resolution",
        watched=120,
        closed=[30] * 700,
        days=np.arange(700),
    )
    uncertainty, caveats = fit_uncertainty(data, SETTINGS)
    assert uncertainty is not None
    assert uncertainty.shared is None
    assert len(caveats) == 1
    assert caveats[0].startswith("No interval for a package's total: the vintages do not allow")


def test_too_little_to_walk_through_is_a_caveat(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(150.0)}, np.linspace(0, 1, 150))
    uncertainty, caveats = fit_uncertainty(data, SETTINGS)
    assert uncertainty is None
    assert caveats[0].startswith("No quantiles of a loan's recovery: the vintages do not allow")
