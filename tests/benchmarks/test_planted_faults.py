"""What is planted is what is said, and nothing else."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from benchmarks.planted_faults import LEAKED, biased, late, leaked
from features.check import check_portfolio
from features.portfolio import Portfolio
from features.segments import segment_frame
from features.targets import realised_recovery

SINCE = date(2018, 1, 1)


def outcomes(portfolio: Portfolio) -> pl.DataFrame:
    segments = segment_frame(portfolio.tape, portfolio.ledger, "claim")
    found = realised_recovery(portfolio).collect()
    return found.with_columns(segments["region"]).sort("loan_id")


def test_a_bias_is_in_its_region_from_its_vintage_on(simulated: Portfolio) -> None:
    sound, hit = outcomes(simulated), outcomes(biased(simulated, "CN-GD", SINCE, 0.15))
    there = ((sound["region"] == "CN-GD") & (sound["cut_off_date"] >= SINCE)).fill_null(False)
    assert 10 < there.sum() < 500
    columns = ["recovery_rate_06m", "recovery_rate_24m", "recovery_rate_ultimate", "ead_amount"]
    assert hit.filter(~there).equals(sound.filter(~there))
    assert hit["ead_amount"].equals(sound["ead_amount"])
    for name in columns[:3]:
        before, after = sound.filter(there)[name], hit.filter(there)[name]
        # To the half cent of each posting.
        assert after.drop_nulls().to_numpy() == pytest.approx(
            before.drop_nulls().to_numpy() / 1.15, abs=1e-5
        )


def test_late_cash_is_the_same_cash_later(simulated: Portfolio) -> None:
    moved = late(simulated, SINCE, 6)
    sound, hit = outcomes(simulated), outcomes(moved)
    early = sound["cut_off_date"] < SINCE
    assert hit.filter(early).equals(sound.filter(early))
    both = sound.filter(~early).join(hit, on="loan_id", suffix="_late")
    watched = both.filter(pl.col("observed_months") >= 12)
    assert watched.height > 300
    assert (watched["recovery_rate_06m_late"] == 0).all()
    assert watched["recovery_rate_12m_late"].to_numpy() == pytest.approx(
        watched["recovery_rate_06m"].to_numpy(), abs=1e-12
    )
    total = pl.col("gross_amount").sum()
    assert moved.ledger.select(total).collect().item() == pytest.approx(
        simulated.ledger.select(total).collect().item()
    )


def test_a_leaked_field_is_a_field_like_any_other(simulated: Portfolio) -> None:
    told = leaked(simulated, 0.05, 1)
    assert check_portfolio(told).faults.number("error") == 0
    tape = told.tape.collect().sort("loan_id")
    came = realised_recovery(simulated).collect().sort("loan_id")["recovery_rate_to_date"]
    assert np.abs(tape[LEAKED].to_numpy() - came.to_numpy()).mean() < 0.05
