"""Cash of calendar months against postings added up by hand."""

from datetime import date

import pytest

from features.errors import PortfolioError
from features.portfolio import Portfolio
from features.recent_cash import Window, latest_window, loans_in

YEAR = Window(2024 * 12 + 1, 2024 * 12 + 12)


def test_months_are_calendar_months(simulated: Portfolio) -> None:
    assert (YEAR.eve, YEAR.end) == (date(2023, 12, 31), date(2024, 12, 31))
    assert (YEAR.before(1).eve, YEAR.before(1).end) == (date(2023, 11, 30), date(2023, 12, 31))
    # Observed until the end of 2024, with a lag of one month.
    assert latest_window(simulated.meta, 3) == Window(2024 * 12 + 9, 2024 * 12 + 11)
    undated = simulated.meta.model_copy(update={"recovery_timing": "none"})
    with pytest.raises(PortfolioError, match="recovery_timing is 'none'"):
        latest_window(undated, 3)


def test_realised_cash_is_that_of_the_ledger(simulated: Portfolio) -> None:
    found = loans_in(simulated, YEAR, 10**6)
    tape = simulated.tape.collect()
    cut_offs = dict(tape.select("loan_id", "snapshot_date").iter_rows())
    expected = dict.fromkeys(found["loan_id"], 0.0)
    for row in simulated.ledger.collect().iter_rows(named=True):
        after = (row["period"].year, row["period"].month) > (
            cut_offs[row["loan_id"]].year,
            cut_offs[row["loan_id"]].month,
        )
        if row["period"].year == 2024 and after:
            expected[row["loan_id"]] += row["gross_amount"] - row["cost_amount"]
    amounts = found["actual_rate"] * found["ead_amount"]
    assert amounts.to_list() == pytest.approx(list(expected.values()), abs=0.006)
    assert sum(amount > 0 for amount in expected.values()) > 100


def test_ages_end_with_the_workout(simulated: Portfolio) -> None:
    found = loans_in(simulated, YEAR, 10**6)
    assert found["to_months"].max() == 60
    assert (found["from_months"] < found["to_months"]).all()
    # A loan cut off in 2018 has had its five years.
    cut_offs = found["cut_off_date"].to_list()
    assert min(cut_offs) > date(2018, 12, 31)
    assert max(cut_offs) < date(2024, 12, 1)


def test_a_sample_is_the_same_whatever_the_order(simulated: Portfolio) -> None:
    turned = simulated.with_tables(simulated.tape.reverse(), simulated.ledger.reverse())
    assert loans_in(simulated, YEAR, 50).equals(loans_in(turned, YEAR, 50))
