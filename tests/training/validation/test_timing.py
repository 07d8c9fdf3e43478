"""Timing: worked curves, and a late shift that shows in timing and not in amount."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.validation.timing import half_time, months_to_reach, timing_shift

HORIZONS = (6, 12, 24, 36, 48, 60)
Array = NDArray[np.float64]


def test_months_are_read_off_the_curve() -> None:
    curve = np.array([10.0, 30.0, 40.0])
    assert months_to_reach((6, 12, 24), curve, 5.0) == pytest.approx(3)
    assert months_to_reach((6, 12, 24), curve, 30.0) == pytest.approx(12)
    assert months_to_reach((6, 12, 24), curve, 35.0) == pytest.approx(18)
    assert months_to_reach((6, 12, 24), curve, 40.01) is None
    # A curve that falls and rises again: the first crossing.
    assert months_to_reach((6, 12, 24), np.array([20.0, 10.0, 40.0]), 15.0) == pytest.approx(4.5)


def test_half_of_the_forecast_late_early_and_never() -> None:
    forecast = np.array([20.0, 50.0, 100.0])
    assert half_time((6, 12, 24), forecast, np.array([10.0, 20.0, 80.0])).late_months == 6
    assert half_time((6, 12, 24), forecast, np.array([50.0, 90.0, 100.0])).late_months == -6
    never = half_time((6, 12, 24), forecast, np.array([10.0, 20.0, 49.0]))
    assert (never.actual_months, never.late_months) == (None, None)
    assert never.note == "not reached by month 24"
    assert half_time((6, 12, 24), np.zeros(3), forecast).note == "no cash is forecast"


def curves(rng: np.random.Generator, loans: int) -> tuple[Array, Array]:
    """Forecast curves of loans, and cash that comes at random about them."""
    ead, rate = rng.lognormal(10, 1, loans), rng.beta(2, 3, loans)
    shares = np.array([0.2, 0.45, 0.7, 0.85, 0.95, 1.0])
    came = rng.gamma(4 * np.diff(shares, prepend=0), 1 / 4, (loans, 6))
    forecast = (ead * rate)[:, None] * shares
    return forecast, (ead * rate)[:, None] * came.cumsum(axis=1)


def later(curve: Array) -> Array:
    """The same cash in the end, each part of it one horizon later than it was."""
    shifted = np.concatenate([np.zeros((len(curve), 1)), curve[:, :-1]], axis=1)
    shifted[:, -1] = curve[:, -1]
    return shifted


def test_a_late_shift_shows_in_timing_and_not_in_amount() -> None:
    false, false_amount = 0, 0
    for seed in range(12):
        forecast, actual = curves(np.random.default_rng(seed), 600)
        honest = timing_shift(HORIZONS, actual, forecast)
        late = timing_shift(HORIZONS, later(actual), forecast)
        assert honest is not None
        assert late is not None
        assert late.timing_deviates
        assert late.late_months > 6
        assert late.amount_rate == pytest.approx(honest.amount_rate)
        false += honest.timing_deviates
        false_amount += late.amount_deviates
    # At 95%, three or more of twelve have a chance of 2%.
    assert false <= 2
    assert false_amount <= 2


def test_less_cash_at_the_same_times_shows_in_amount_and_not_in_timing() -> None:
    forecast, actual = curves(np.random.default_rng(24), 4_000)
    found = timing_shift(HORIZONS, 0.85 * actual, forecast)
    assert found is not None
    assert found.amount_deviates
    assert not found.timing_deviates


def test_a_hand_worked_mean_month() -> None:
    # 100 in the first six months, middle 3; forecast 50 each, middles 3 and 15: mean 9.
    actual, forecast = np.array([[100.0, 100.0]]), np.array([[50.0, 100.0]])
    found = timing_shift((6, 24), np.repeat(actual, 9, 0), np.repeat(forecast, 9, 0))
    assert found is not None
    assert found.late_months == pytest.approx(-6)
    assert found.amount_rate == pytest.approx(0)
    assert timing_shift((6, 12), np.zeros((9, 2)), np.repeat(forecast, 9, 0)) is None
