"""How far a fitted curve reaches: as long as workouts were watched, and nowhere without dates."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from models.errors import ScoringError
from training.dataset import TrainingSet
from training.fit import fit_recovery
from training.settings import FitSettings

SETTINGS = FitSettings("shallow", 1.0)
COUNT = 400


def made(set_of: Callable[..., TrainingSet], **words: object) -> TrainingSet:
    rng = np.random.default_rng(17)
    x = rng.random(COUNT)
    return set_of({"x": x}, 0.2 + 0.5 * x + rng.normal(0, 0.05, COUNT), **words)


def test_a_short_ledger_gives_a_short_curve_that_says_where_it_ends(
    set_of: Callable[..., TrainingSet],
) -> None:
    watched = np.where(np.arange(COUNT) < 99, 60, 25)
    data = made(set_of, timing="monthly", watched=watched, limit=60)
    model = fit_recovery(data, SETTINGS)
    # 99 loans watched for three years are too few, and the ultimate is what two years bring.
    assert model.horizons_months == (6, 12, 24)
    assert model.ultimate_months == 24
    assert model.recovery_curve(data.features).shape == (COUNT, 3)
    np.testing.assert_allclose(
        model.recovery_rate(data.features), model.recovery_rate_at(data.features, 24)
    )
    with pytest.raises(ScoringError, match="no month 36; it has 6, 12, 24"):
        model.recovery_rate_at(data.features, 36)


def test_a_curve_never_falls(set_of: Callable[..., TrainingSet]) -> None:
    data = made(set_of, timing="monthly", watched=60, limit=60)
    for settings in (SETTINGS, FitSettings("shallow", 0.0)):
        curve = fit_recovery(data, settings).recovery_curve(data.features)
        assert curve.shape == (COUNT, 6)
        assert (np.diff(curve, axis=1) >= -1e-12).all()


def test_undated_outcomes_give_no_curve_and_say_so(set_of: Callable[..., TrainingSet]) -> None:
    data = made(set_of)
    model = fit_recovery(data, SETTINGS)
    assert model.horizons_months == ()
    assert model.recovery_curve(data.features).shape == (COUNT, 0)
    with pytest.raises(ScoringError, match="outcomes are undated"):
        model.recovery_rate_at(data.features, 12)


def test_single_payments_reach_as_far_as_they_were_watched(
    set_of: Callable[..., TrainingSet],
) -> None:
    closed = pl.Series([3 + n % 30 if n % 3 else None for n in range(COUNT)], dtype=pl.Int32)
    data = made(set_of, timing="resolution", watched=40, closed=closed)
    model = fit_recovery(data, SETTINGS)
    assert model.horizons_months == (6, 12, 24, 36)
    assert (np.diff(model.recovery_curve(data.features), axis=1) >= 0).all()
    with pytest.raises(ScoringError, match="no month 48"):
        model.recovery_rate_at(data.features, 48)
