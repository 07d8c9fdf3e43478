"""What a model expects of the cash of calendar months: its curve between two ages."""

from dataclasses import replace

import numpy as np
import pytest

from features.portfolio import Portfolio
from features.recent_cash import Window, loans_in
from models.recovery import RecoveryModel
from training.errors import TrainingError
from training.recent_cash import between, expected_in

YEAR = Window(2024 * 12 + 1, 2024 * 12 + 12)


def test_the_curve_between_ages_adds_up(dated_model: RecoveryModel, simulated: Portfolio) -> None:
    loans = loans_in(simulated, YEAR, 200)
    found = expected_in(dated_model, simulated, loans)
    curve = np.outer(found.ultimate_rate, np.linspace(1 / 6, 1, 6))
    months = np.full(len(curve), 6)
    # Half of the way to 12 months lies at 9; all parts together are the whole.
    assert between(dated_model, curve, months, months + 3) == pytest.approx(
        (curve[:, 1] - curve[:, 0]) / 2
    )
    parts = sum(between(dated_model, curve, months * 0 + a, months * 0 + a + 5)
                for a in range(0, 60, 5))  # fmt: skip
    assert parts == pytest.approx(curve[:, -1])
    assert (found.window_rate <= found.ultimate_rate + 1e-12).all()


def test_a_model_without_a_curve_is_refused(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    loans = loans_in(simulated, YEAR, 50)
    with pytest.raises(TrainingError, match="tells no curve"):
        expected_in(replace(dated_model, timing=None), simulated, loans)


def test_expected_cash_is_near_what_came(dated_model: RecoveryModel, simulated: Portfolio) -> None:
    loans = loans_in(simulated, YEAR, 10**6)
    expected = expected_in(dated_model, simulated, loans).window_rate.sum()
    assert loans["actual_rate"].sum() / expected == pytest.approx(1.0, abs=0.25)
