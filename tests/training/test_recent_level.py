"""Drawing a model level with the cash of the latest months."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from features.recent_cash import latest_window, loans_in
from models.recovery import RecoveryModel
from training.errors import TrainingError
from training.recent_cash import expected_in
from training.recent_level import levelled


def times(portfolio: Portfolio, factor: float) -> Portfolio:
    amounts = ("gross_amount", "collateral_amount", "cost_amount")
    ledger = portfolio.ledger.with_columns(pl.col(name) * factor for name in amounts)
    return portfolio.with_tables(portfolio.tape, ledger)


def test_a_levelled_model_expects_what_the_months_brought(
    simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    halved = times(simulated, 0.5)
    model = levelled(dated_model, halved, 3, 100_000)
    loans = loans_in(halved, latest_window(halved.meta, 3), 100_000)
    found = expected_in(model, halved, loans)
    # Half of the cash by hand: the ledger was halved above.
    whole = loans_in(simulated, latest_window(simulated.meta, 3), 100_000)["actual_rate"]
    assert found.window_rate.sum() == pytest.approx(0.5 * whole.to_numpy().sum(), rel=1e-3)
    # One constant: what tells loans apart stays.
    before = expected_in(dated_model, halved, loans).ultimate_rate
    assert (np.argsort(before, kind="stable") == np.argsort(found.ultimate_rate)).all()
    assert replace(model, level=dated_model.level) == dated_model


def test_cash_that_no_level_comes_to_is_refused(
    simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    with pytest.raises(TrainingError, match="no level of the model's forecasts comes to"):
        levelled(dated_model, times(simulated, 10_000.0), 3, 100_000)
