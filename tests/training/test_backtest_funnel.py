"""Every row of a tape stands in one place, and its money with it."""

from datetime import date, datetime

import polars as pl
import pytest

from features.check import check_portfolio
from features.portfolio import Portfolio
from training.backtest_dates import loan_dates
from training.backtest_funnel import funnel, usable


@pytest.fixture(scope="module")
def faulty(simulated: Portfolio) -> Portfolio:
    """Two loans without an asset class, one with a faulty posting."""
    tape = simulated.tape.collect().with_row_index("place")
    tape = tape.with_columns(
        pl.when(pl.col("place") >= 2).then("asset_class").alias("asset_class")
    ).drop("place")
    bad = simulated.ledger.collect().filter(pl.col("loan_id") == tape["loan_id"][5]).head(1)
    bad = bad.with_columns(recorded_at=pl.lit(datetime(1990, 1, 1)).cast(pl.Datetime("us")))
    ledger = pl.concat([simulated.ledger.collect(), bad])
    return simulated.with_tables(tape.lazy(), ledger.lazy())


def test_loans_and_cents_tie(faulty: Portfolio) -> None:
    checked = check_portfolio(faulty)
    assert checked.tape_set_aside.height == 2
    assert checked.incomplete_loans.height == 1
    portfolio = usable(checked)
    dates = loan_dates(portfolio)
    assert dates.height == 1_997
    first = date(2019, 12, 31)
    later = dates.filter(pl.col("cut_off_date") > first)
    # The last of the later loans has no forecast.
    own = later.head(later.height - 1).select(
        "loan_id",
        model_view=pl.lit("walk_forward"),
        window=pl.lit("expanding"),
        forecast_of=pl.lit("original"),
        is_resolved=pl.col("closed_date").is_not_null(),
    )
    found = funnel(checked, dates, own, first)
    counts = {(step, reason): loans for step, reason, loans, _ in found.iter_rows()}
    aside = [reason for step, reason in counts if step == "set aside"]
    assert sorted(aside) == ["cash lost to a faulty ledger row", "missing_value: asset_class"]
    assert counts["set aside", "missing_value: asset_class"] == 2
    assert counts["set aside", "cash lost to a faulty ledger row"] == 1
    assert counts["training only", "cut-off before the first reference date"] == (
        dates.height - later.height
    )
    assert counts["not forecast", "no exposure at the cut-off"] == 1
    assert counts["forecast", "workout closed"] == int(own["is_resolved"].sum())
    assert sum(counts.values()) == 2_000
    claim = pl.sum_horizontal("principal_outstanding", "interest_outstanding", "fees_outstanding")
    whole = faulty.tape.select((claim * 100).round().sum()).collect().item()
    assert round(found["ead_amount"].sum() * 100) == whole
