"""The publishers' files against figures worked out row by row in plain Python, or by hand."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.sources import lending_club, sba_7a, us_mortgage
from features.sources.result import SourceResult


def raw_rows(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path).with_columns(pl.col(pl.Categorical).cast(pl.String)).to_dicts()


def net_by_loan(result: SourceResult) -> dict[str, float]:
    return {
        loan: gross - cost
        for loan, gross, cost in result.ledger.select(
            "loan_id", "gross_amount", "cost_amount"
        ).iter_rows()
    }


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_lending_club(npl_data: Path) -> None:
    path = npl_data / "lending_club_charged_off_2007_2010.parquet"
    result = lending_club.read(path)
    rows = raw_rows(path)
    ead = [float(r["funded_amnt"]) - float(r["total_rec_prncp"]) for r in rows]
    net = [float(r["recoveries"]) - float(r["collection_recovery_fee"]) for r in rows]
    assert result.account["rows"].to_list() == [3134, 3134]
    assert result.tape["principal_outstanding"].to_list() == pytest.approx(ead, abs=0.006)
    assert list(net_by_loan(result).values()) == pytest.approx(net)
    assert mean([n / e for n, e in zip(net, ead, strict=True)]) == pytest.approx(
        0.0776191, abs=1e-6
    )
    assert result.tape["principal_outstanding"].sum() == pytest.approx(20_470_637.56)
    assert result.faults.is_empty()
    # Row 2 by hand: 5,262.41 repaid of 25,000 over 36 months at 14.70% are nine instalments of
    # 862.97 from January 2008; October 2008 is the first missed, March 2009 the charge-off.
    second = result.tape.row(1, named=True)
    assert second["instalments_paid"] == 9.0
    assert second["first_overdue_date"] == date(2008, 10, 1)
    assert second["snapshot_date"] == date(2009, 3, 31)
    assert result.meta.observed_until_date == date(2017, 11, 30)


def test_the_last_payment_is_no_charge_off_date(npl_data: Path) -> None:
    """Why the cut-off is not taken from `last_pymnt_d`: it knows the recoveries."""
    path = npl_data / "lending_club_charged_off_2007_2010.parquet"
    tape = lending_club.read(path).tape
    rates = {False: [], True: []}  # type: dict[bool, list[float]]
    for row, ead, cut_off in zip(
        raw_rows(path), tape["principal_outstanding"], tape["snapshot_date"], strict=True
    ):
        if row["last_pymnt_d"]:
            paid_later = date.fromisoformat(row["last_pymnt_d"]) > cut_off
            net = float(row["recoveries"]) - float(row["collection_recovery_fee"])
            rates[paid_later].append(net / ead)
    assert len(rates[True]) > 100
    assert mean(rates[True]) > 1.5 * mean(rates[False])


def test_sba_7a(npl_data: Path) -> None:
    path = npl_data / "sba_7a_charged_off_to_2011.parquet"
    result = sba_7a.read(path)
    rows = raw_rows(path)
    rate = [1 - r["ChgOffPrinGr"] / r["DisbursementGross"] for r in rows]
    assert result.account["rows"].to_list() == [12673, 12673]
    assert result.tape["loan_id"].to_list() == [str(r["LoanNr_ChkDgt"]) for r in rows]
    net = net_by_loan(result)
    amounts = dict(result.tape.select("loan_id", "original_amount").iter_rows())
    assert [net[loan] / amounts[loan] for loan in amounts] == pytest.approx(rate, abs=1e-12)
    assert mean(rate) == pytest.approx(0.3652565, abs=1e-6)
    # Two disbursements are dated 19 and 21 years after their charge-off.
    assert result.faults["value"].to_list() == ["2010-11-15", "2012-06-07"]
    late = result.tape.filter(pl.col("origination_date") > pl.col("snapshot_date"))
    assert late.is_empty()


def test_us_mortgage(npl_data: Path) -> None:
    path = npl_data / "us_mortgage_panel_to_period_41.parquet"
    result = us_mortgage.read(path)
    rows = [r for r in raw_rows(path) if r["default_time"] == 1]
    resolved = [r for r in rows if r["res_time"] is not None]
    assert result.account["rows"].to_list() == [38345, 29218, 7944, 1183]
    assert result.tape["loan_id"].to_list() == [str(r["id"]) for r in rows]
    assert result.tape["principal_outstanding"].sum() == pytest.approx(291_121_751.0)
    net = net_by_loan(result)
    assert len(net) == len(resolved) == 983
    rate = [net[str(r["id"])] / r["balance_time"] for r in resolved]
    assert rate == pytest.approx([1 - r["lgd_time"] for r in resolved], abs=1e-12)
    assert mean(rate) == pytest.approx(0.3989753, abs=1e-6)
    cut_off = dict(result.tape.select("loan_id", "snapshot_date").iter_rows())
    assert all(
        period > cut_off[loan]
        for loan, period in result.ledger.select("loan_id", "period").iter_rows()
    )
    assert result.tape["closed_date"].null_count() == 200
    assert result.meta.observed_until_date == date(2015, 3, 31)


def test_recovery_res_is_undiscounted(npl_data: Path) -> None:
    """Why the net recovery may be taken from `lgd_time`: but for 6 loans the two are one figure."""
    rows = raw_rows(npl_data / "us_mortgage_panel_to_period_41.parquet")
    gaps = [
        r["recovery_res"] / r["balance_time"] - (1 - r["lgd_time"])
        for r in rows
        if r["res_time"] is not None
    ]
    apart = [gap for gap in gaps if abs(gap) > 1e-6]
    assert len(apart) == 6
    assert min(apart) > 0
