"""How a night trains: a way that its bundle tells of, and a level that can be told from the fit."""

from datetime import date

import polars as pl
import pytest

from features.portfolio import Portfolio
from features.recent_cash import latest_window, loans_in
from tests.training.night_bank import FEW_TREES
from training.night_training import Way, as_fitted, fit_as_of, train_night, way_of, way_tonight
from training.night_trial import unjudged
from training.recent_cash import expected_in
from training.settings import FitSettings


def test_a_drawn_level_is_told_and_can_be_taken_back(simulated: Portfolio) -> None:
    settings = FitSettings(FEW_TREES, 0.5)
    way = Way(settings, drawn_months=3)
    bundle = train_night(simulated, way, {"store_commit": 7}, 100_000).bundle
    assert way_of(bundle.provenance) == way
    # Its successors are drawn too; the first model of all is not.
    assert way_tonight(simulated, bundle, None, None) == way
    assert way_tonight(simulated, None, None, None).drawn_months is None
    assert bundle.provenance.settings["store_commit"] == 7
    assert any("latest 3 booked months" in caveat for caveat in bundle.caveats)
    loans = loans_in(simulated, latest_window(simulated.meta, 3), 100_000)
    forecast = expected_in(bundle.model, simulated, loans).window_rate.sum()
    assert forecast == pytest.approx(loans["actual_rate"].to_numpy().sum(), rel=1e-6)
    # The same fit without a level, from data that end on the same day.
    plain = fit_as_of(simulated, Way(settings, None), simulated.meta.observed_until_date, 100_000)
    assert as_fitted(bundle).level == pytest.approx(plain.level, abs=1e-9)
    assert bundle.model.level != plain.level


def test_a_level_on_the_eve_knows_no_later_month(simulated: Portfolio) -> None:
    way, eve = Way(FitSettings(FEW_TREES, 0.5), drawn_months=3), date(2024, 6, 30)
    found = fit_as_of(simulated, way, eve, 100_000)
    # Cash after the eve, or recorded after it, tells it nothing.
    then = simulated.with_tables(
        simulated.tape, simulated.ledger.filter(pl.col("recorded_at").dt.date() <= eve)
    )
    assert fit_as_of(then, way, eve, 100_000).level == found.level


def test_a_night_without_cash_is_trained_and_held(simulated: Portfolio) -> None:
    window = latest_window(simulated.meta, 3)
    silent = simulated.with_tables(
        simulated.tape, simulated.ledger.filter(pl.col("period") <= window.eve)
    )
    way = Way(FitSettings(FEW_TREES, 0.5), drawn_months=3)
    bundle = train_night(silent, way, {}, 100_000).bundle
    # Its successors are drawn as soon as cash comes again.
    assert way_of(bundle.provenance) == way
    assert any("brought no cash to draw the level from" in told for told in bundle.caveats)
    assert as_fitted(bundle).level == bundle.model.level
    assert unjudged(bundle.model, bundle.model, bundle, None)[0].startswith("no cash came")
