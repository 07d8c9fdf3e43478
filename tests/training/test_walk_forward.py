"""Walk-forward residuals: nothing of a vintage, or of a later day, is in its own forecast."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from training import settings
from training.dataset import TrainingSet, training_set
from training.errors import TrainingError
from training.settings import FitSettings
from training.walk_forward import LEAST_FOLDS, _as_known_on, walk_forward_residuals

MakeSet = Callable[..., TrainingSet]


@pytest.fixture(autouse=True)
def _quick_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset, tree in settings.PRESETS.items():
        monkeypatch.setitem(settings.PRESETS, preset, replace(tree, rounds=20, bags=1))


def test_every_forecast_is_made_of_earlier_vintages_alone(set_of: MakeSet) -> None:
    # Each block of 300 days has its own level, so a forecast of it betrays what was looked at.
    days = np.arange(1_500)
    level = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 300) + np.tile([-0.01, 0.01], 750)
    data = set_of({"x": np.random.default_rng(1).normal(size=1_500)}, level, days=days)
    starts = [date(2010, 1, 1) + timedelta(days=300 * block) for block in range(1, 5)]
    found = walk_forward_residuals(data, FitSettings(half_life_years=1e6), starts=starts)
    assert found["fold"].unique().sort().to_list() == [0, 1, 2, 3]
    assert found.height == 1_200
    means = found.group_by("fold").agg(pl.col("forecast_rate", "realised_rate").mean()).sort("fold")
    assert means["realised_rate"].to_list() == pytest.approx([0.3, 0.5, 0.7, 0.9])
    # The mean of the blocks before each, and nothing nearer to its own.
    assert means["forecast_rate"].to_list() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.02)


def test_the_frame_holds_what_a_package_needs(training_data: TrainingSet) -> None:
    found = walk_forward_residuals(training_data, FitSettings())
    assert found.columns == [
        "loan_id",
        "vintage_date",
        "region",
        "asset_class",
        "ead",
        "forecast_rate",
        "realised_rate",
        "horizon_months",
        "fold",
    ]
    assert found.null_count().select(pl.exclude("horizon_months")).sum_horizontal()[0] == 0
    assert found["loan_id"].is_unique().all()
    assert found["fold"].n_unique() >= LEAST_FOLDS
    months = found["horizon_months"].unique().to_list()
    assert len(months) == 1
    # Every loan was watched that long, whether it closed early or not.
    watched = training_data.outcomes.select("loan_id", "observed_months")
    joined = found.join(watched, on="loan_id")
    assert joined["observed_months"].min() >= months[0]
    assert (found["asset_class"] != "").all()


def test_outcomes_cut_back_to_a_day_are_those_that_were_known_on_it(simulated: Portfolio) -> None:
    # The path of `features.targets` from the ledger is the independent figure.
    day = date(2020, 6, 30)
    late = training_set(simulated)
    cut = _as_known_on(late, day).outcomes
    then = training_set(simulated, known_on=day, spec=late.spec).outcomes
    before = (late.outcomes["cut_off_date"] <= day).to_numpy()
    for column in ("observed_months", "closed_months", "is_resolved"):
        assert cut[column].filter(pl.Series(before)).equals(then[column].filter(pl.Series(before)))
    for column in ("recovery_rate_12m", "recovery_rate_24m", "recovery_rate_ultimate"):
        ours, theirs = cut[column].to_numpy()[before], then[column].to_numpy()[before]
        assert (np.isnan(ours) == np.isnan(theirs)).all()
        # Cash posted after that day is the difference, and it is rare.
        known = ~np.isnan(ours)
        assert np.mean(np.abs(ours - theirs)[known] > 1e-9) < 0.02


def test_hindsight_forecasts_with_what_came_to_be_known_later(set_of: MakeSet) -> None:
    rng = np.random.default_rng(2)
    days = np.arange(1_200) * 3
    # Loans pay all at month 30 or nothing; on the day of a fold most are still open.
    data = set_of(
        {"x": rng.normal(size=1_200)},
        rng.integers(0, 2, 1_200),
        timing="resolution",
        watched=120,
        closed=[30] * 1_200,
        days=days,
    )
    early = data.rows(data.outcomes["vintage_date"] < date(2012, 1, 1))
    with pytest.raises(TrainingError, match="walk-forward folds"):
        walk_forward_residuals(early, FitSettings())
    found = walk_forward_residuals(early, FitSettings(), hindsight=True)
    assert found["horizon_months"].unique().to_list() == [60]


def test_a_horizon_of_undated_outcomes_is_refused(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(400.0)}, np.linspace(0, 1, 400))
    with pytest.raises(TrainingError, match="undated"):
        walk_forward_residuals(data, FitSettings(), 24)


def test_too_few_vintages_are_refused(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(150.0)}, np.linspace(0, 1, 150))
    with pytest.raises(TrainingError, match=f"{LEAST_FOLDS} walk-forward folds"):
        walk_forward_residuals(data, FitSettings())
