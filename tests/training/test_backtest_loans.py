"""Loans at a reference date, worked out by hand."""

from datetime import date, datetime

import polars as pl
import pytest

from features.portfolio import Portfolio, PortfolioMeta
from training.backtest_loans import loans_at, of_loans, sampled_ids

CASH = [
    # loan, month of the cash, gross, cost, recorded
    ("a", date(2020, 3, 1), 100.0, 10.0, date(2020, 3, 5)),
    ("a", date(2021, 6, 1), 200.0, 0.0, date(2021, 6, 5)),
    ("b", date(2020, 2, 1), 500.0, 0.0, date(2020, 2, 5)),
    ("c", date(2021, 11, 1), 50.0, 0.0, date(2021, 11, 5)),
]


@pytest.fixture
def portfolio() -> Portfolio:
    tape = pl.LazyFrame(
        {
            "loan_id": ["b", "a", "c"],
            "snapshot_date": [date(2020, 1, 31), date(2020, 1, 31), date(2021, 10, 31)],
            "principal_outstanding": [1_000.0, 1_000.0, 100.0],
            "interest_outstanding": [0.0, 0.0, 0.0],
            "default_date": [date(2018, 12, 15), date(2019, 12, 15), None],
            "borrower_adcode": ["440100", "440100", "999999"],
            "asset_class": ["sme", "auto", None],
            "closed_date": [date(2020, 6, 30), None, None],
        }
    )
    names = ("loan_id", "period", "gross_amount", "cost_amount", "recorded_at")
    rows = [(*row[:4], datetime(row[4].year, row[4].month, row[4].day)) for row in CASH]
    ledger = pl.LazyFrame(rows, schema=names, orient="row").with_columns(
        pl.col("recorded_at").cast(pl.Datetime("us"))
    )
    meta = PortfolioMeta(
        name="by hand",
        source_system="synthetic",
        currency="CNY",
        observed_until_date=date(2021, 12, 31),
        recovery_basis="claim",
        recovery_timing="monthly",
        max_workout_months=60,
    )
    return Portfolio(meta, tape, ledger)


def test_at_their_own_cut_offs(portfolio: Portfolio) -> None:
    found = loans_at(portfolio).sort("loan_id")
    assert found["loan_id"].to_list() == ["a", "b", "c"]
    assert found["vintage_date"].equals(found["reference_date"].rename("vintage_date"))
    assert found["ead_amount"].to_list() == [1_000.0, 1_000.0, 100.0]
    assert found["default_vintage"].to_list() == ["2019", "2018", None]
    assert found["months_since_default"].to_list() == [1.0, 13.0, None]
    assert found["years_in_default"].to_list() == pytest.approx([1 / 12, 13 / 12, None])
    assert found["age_band"].to_list() == ["under 1 year", "1 to 3 years", None]
    assert found["region"].to_list()[:2] == ["CN-GD", "CN-GD"]
    assert found["asset_class"].to_list() == ["auto", "sme", None]
    # Watched from February 2020 to December 2021, and for two months.
    assert found["observed_months"].to_list() == [23, 23, 2]
    assert found["actual_rate_12m"].to_list() == pytest.approx([0.09, 0.5, None])
    # Closed in month 5, but nobody was watched for 24 months: b does not stand for its peers.
    assert found["actual_rate_24m"].to_list() == [None, None, None]
    assert found["actual_rate"].to_list() == pytest.approx([None, 0.5, None])
    assert found["recovery_rate_to_date"].to_list() == pytest.approx([0.29, 0.5, 0.5])


def test_at_a_later_date_what_was_paid_is_off_the_claim(portfolio: Portfolio) -> None:
    older = of_loans(portfolio, pl.Series(["a"]))
    found = loans_at(older, date(2020, 12, 31)).row(0, named=True)
    assert found["ead_amount"] == 900.0  # less the gross cash of March
    assert found["vintage_date"] == date(2020, 1, 31)
    assert found["reference_date"] == date(2020, 12, 31)
    assert found["months_since_default"] == 12.0
    assert found["observed_months"] == 12
    assert found["actual_rate_12m"] == pytest.approx(200 / 900)
    assert found["actual_rate_06m"] == pytest.approx(200 / 900)  # June 2021 is month 6


def test_a_sample_does_not_depend_on_the_order() -> None:
    ids = pl.Series([f"L{n:03d}" for n in range(100)])
    drawn = sampled_ids(ids, 10, 1)
    assert len(set(drawn)) == 10
    assert sampled_ids(ids.reverse(), 10, 1).to_list() == drawn.to_list()
    assert sampled_ids(ids, 100, 1).to_list() == ids.to_list()
