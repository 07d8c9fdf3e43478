"""Drawing a model level with the cash of the latest months."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from features.recent_cash import latest_window, loans_in
from models.recovery import RecoveryModel
from training.errors import NoCashError, TrainingError
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
    much = times(simulated, 10_000.0)
    # By hand: of a loan on average, not of all loans together.
    share = loans_in(much, latest_window(much.meta, 3), 100_000)["actual_rate"].to_numpy().mean()
    with pytest.raises(TrainingError, match=f"months is {share:.4f} times the exposure of a loan"):
        levelled(dated_model, much, 3, 100_000)


def test_no_cash_and_no_loans_are_told_apart(
    simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    with pytest.raises(NoCashError, match="brought no net cash in the latest 3 booked months"):
        levelled(dated_model, times(simulated, 0.0), 3, 100_000)
    empty = simulated.with_tables(simulated.tape.head(0), simulated.ledger)
    with pytest.raises(TrainingError, match="no loan could bring cash") as told:
        levelled(dated_model, empty, 3, 100_000)
    assert not isinstance(told.value, NoCashError)
