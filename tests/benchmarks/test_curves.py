"""The candidates on a small simulated portfolio: sums by hand, and a law that must be found."""

import numpy as np
import polars as pl
import pytest

from benchmarks.curve_baselines import chain_ladder, segments
from benchmarks.curves import Simulated, error_table, errors, without_open
from features.horizons import rate_column
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from training.dataset import TrainingSet, training_set
from training.fit import fit_recovery
from training.settings import FitSettings


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    folder = tmp_path_factory.mktemp("curves") / "portfolio"
    simulate(folder, 3000, 11)
    return Simulated(read_portfolio(folder), folder)


@pytest.fixture(scope="module")
def data(simulated: Simulated) -> TrainingSet:
    return training_set(simulated.portfolio)


def test_complete_history_brings_what_the_snapshot_knew_and_the_rest(
    simulated: Simulated, data: TrainingSet
) -> None:
    complete = simulated.complete(data).outcomes
    assert complete["loan_id"].equals(data.outcomes["loan_id"])
    assert complete["recovery_rate_ultimate"].null_count() == 0
    # What had closed and been booked stays as it was; the open ones are known only now.
    was = data.outcomes["recovery_rate_ultimate"]
    known = was.is_not_null().to_numpy()
    assert (~known).sum() > 1000
    moved = complete["recovery_rate_ultimate"].to_numpy()[known] - was.to_numpy()[known]
    assert (np.abs(moved) < 1e-9).mean() > 0.95


def test_chain_ladder_of_a_closed_book_is_the_mean_of_the_segment(
    simulated: Simulated, data: TrainingSet
) -> None:
    complete = simulated.complete(data)
    forecast = chain_ladder(complete)(data)
    segment = segments(data.features)
    cards = segment == "credit_card/false"
    assert cards.sum() > 300
    ead, rate = complete.ead[cards], complete.outcomes[rate_column(24)].to_numpy()[cards]
    np.testing.assert_allclose(forecast[cards, 2], (ead @ rate) / ead.sum(), rtol=1e-9)


def test_the_model_never_falls_and_beats_chain_ladder(
    simulated: Simulated, data: TrainingSet
) -> None:
    truth = simulated.truth(data)
    model = fit_recovery(data, FitSettings())
    forecast = model.recovery_curve(data.features)
    assert (np.diff(forecast, axis=1) >= 0).all()
    ours, base = errors(forecast, truth), errors(chain_ladder(data)(data), truth)
    assert (ours < 0.7 * base).all()
    # Its pattern is the true one on the whole: when the ultimate comes, over all loans.
    assert model.timing is not None
    due = (model.timing.shares(data.features) * truth[:, -1:]).sum(axis=0) / truth[:, -1].sum()
    np.testing.assert_allclose(due, truth.sum(axis=0) / truth[:, -1].sum(), atol=0.04)


def test_closed_only_keeps_no_open_loan(data: TrainingSet) -> None:
    closed = without_open(data)
    assert closed.outcomes["closed_months"].null_count() == 0
    assert closed.outcomes["observed_months"].unique().to_list() == [60]
    assert closed.features.height == data.outcomes["closed_months"].count()


def test_error_table_by_hand() -> None:
    truth = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    lines = error_table({"chain-ladder by segment": truth + 0.1, "half": truth + 0.05}, truth)
    assert lines[1].endswith("| 0.1000 | 0.1000 | 0.1000 | 0.1000 | 0.1000 | 0.1000 |")
    assert lines[2].startswith("| half | **0.0500 (-50%)** |")
    short = error_table({"chain-ladder by segment": truth[:, :5]}, truth)
    assert short[1].endswith("| – |")


def test_truth_follows_the_order_of_the_loans(simulated: Simulated, data: TrainingSet) -> None:
    last = data.rows(pl.Series(np.arange(data.features.height) == 2999))
    np.testing.assert_array_equal(simulated.truth(last)[0], simulated.truth(data)[-1])
