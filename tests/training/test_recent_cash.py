"""Cash of calendar months against postings added up by hand, and the curve between two ages."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from features.portfolio import Portfolio
from models.recovery import RecoveryModel
from training.errors import TrainingError
from training.recent_cash import Window, between, expected_in, latest_window, loans_in

YEAR = Window(2024 * 12 + 1, 2024 * 12 + 12)


def test_months_are_calendar_months(simulated: Portfolio) -> None:
    assert (YEAR.eve, YEAR.end) == (date(2023, 12, 31), date(2024, 12, 31))
    assert (YEAR.before(1).eve, YEAR.before(1).end) == (date(2023, 11, 30), date(2023, 12, 31))
    # Observed until the end of 2024, with a lag of one month.
    assert latest_window(simulated.meta, 3) == Window(2024 * 12 + 9, 2024 * 12 + 11)
    undated = simulated.meta.model_copy(update={"recovery_timing": "none"})
    with pytest.raises(TrainingError, match="needs dated cash"):
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


def test_the_curve_between_ages_adds_up(dated_model: RecoveryModel, simulated: Portfolio) -> None:
    loans = loans_in(simulated, YEAR, 200)
    found = expected_in(dated_model, simulated, loans)
    curve = np.outer(found.ultimate_rate, np.linspace(1 / 6, 1, 6))
    months = np.full(len(curve), 6)
    # Half of the way to 12 months lies at 9; all parts together are the whole.
    assert between(dated_model, curve, months, months + 3) == pytest.approx(
        (curve[:, 1] - curve[:, 0]) / 2
    )
    parts = sum(between(dated_model, curve, months * 0 + a, months * 0 + a + 5)
                for a in range(0, 60, 5))  # fmt: skip
    assert parts == pytest.approx(curve[:, -1])
    assert (found.window_rate <= found.ultimate_rate + 1e-12).all()


def test_a_model_without_a_curve_is_refused(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    loans = loans_in(simulated, YEAR, 50)
    with pytest.raises(TrainingError, match="tells no curve"):
        expected_in(replace(dated_model, timing=None), simulated, loans)


def test_expected_cash_is_near_what_came(dated_model: RecoveryModel, simulated: Portfolio) -> None:
    loans = loans_in(simulated, YEAR, 10**6)
    expected = expected_in(dated_model, simulated, loans).window_rate.sum()
    assert loans["actual_rate"].sum() / expected == pytest.approx(1.0, abs=0.25)
