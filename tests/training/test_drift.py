"""Drift against what the world is known to be."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from benchmarks.night_world import Regime
from features.portfolio import Portfolio
from models.recovery import RecoveryModel
from training.drift import _psi, cash_drift, feature_drift, measure_drift
from training.night_settings import DriftSettings
from training.validation.stability import stability

SETTINGS = DriftSettings()


def test_the_index_is_that_of_the_validation_statistics() -> None:
    table = np.array([[30.0, 10.0, 0.0], [20.0, 40.0, 5.0], [0.0, 25.0, 0.0]])
    is_new = np.array([[False, False, True], [True, False, False]])
    for row, found in zip(is_new, _psi(table, is_new), strict=True):
        before, now = (table[side].sum(axis=0).astype(np.int64) for side in (~row, row))
        assert found == pytest.approx(stability(before, now).psi)


def test_cash_of_the_same_world_does_not_drift(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    found = cash_drift(dated_model, simulated, SETTINGS, 10**6)
    assert found[0].segment == "all"
    assert not [one for one in found if one.drifted]


@pytest.mark.parametrize(("factor", "sign"), [(0.1, -1), (4.0, 1)])
def test_months_of_another_world_drift(
    dated_model: RecoveryModel, simulated: Portfolio, factor: float, sign: int
) -> None:
    regime = Regime(date(2024, 9, 1), factor, factor)
    changed = pl.when(pl.col("period") >= regime.first_month).then(factor).otherwise(1.0)
    ledger = simulated.ledger.with_columns(
        pl.col(name) * changed for name in ("gross_amount", "cost_amount")
    )
    # One month of 2,000 loans is a few payments: three tell.
    settings = SETTINGS.model_copy(update={"cash_months": 3})
    portfolio = simulated.with_tables(simulated.tape, ledger)
    drift = measure_drift(dated_model, portfolio, settings, 10**6)
    sudden = next(one for one in drift.cash if (one.kind, one.segment) == ("sudden", "all"))
    assert sudden.drifted
    assert sudden.deviation * sign > 0.15
    assert drift.cash_drifted
    assert any("2024-11" in alarm for alarm in drift.alarms)


def test_features_of_resembling_packages_do_not_drift_and_shifted_ones_do(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    rng = np.random.default_rng(4)
    tape = simulated.tape.collect()
    # Packages dealt at random over the last fifteen months: nothing but chance.
    months = pl.date_range(date(2023, 10, 1), date(2024, 12, 1), "1mo", eager=True)
    ids = [f"P{n:03d}" for n in range(90)]
    place = rng.integers(0, len(ids), tape.height)
    dealt = tape.with_columns(
        package_id=pl.Series(np.array(ids)[place]),
        snapshot_date=pl.Series(months.dt.month_end().to_numpy()[place % len(months)]).cast(
            pl.Date
        ),
    )
    # Cash would tell the dates apart: it is left out.
    bare = replace(simulated, ledger=simulated.ledger.head(0))
    portfolio = replace(bare, tape=dealt.lazy())
    settings = SETTINGS.model_copy(update={"psi": 0.05})
    assert not [
        one.feature
        for one in feature_drift(dated_model.spec, portfolio, settings, 10**6)
        if one.drifted
    ]
    new = pl.col("snapshot_date") > date(2024, 9, 30)
    shifted = dealt.with_columns(
        interest_rate=pl.when(new).then(pl.col("interest_rate") * 3).otherwise("interest_rate")
    )
    found = feature_drift(dated_model.spec, replace(bare, tape=shifted.lazy()), settings, 10**6)
    # The scheduled balance is worked out from the rate.
    drifted = [one.feature for one in found if one.drifted]
    assert drifted == ["interest_rate", "scheduled_balance_rate"]
    assert found[0].psi > 1
