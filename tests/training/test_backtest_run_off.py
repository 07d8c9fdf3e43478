"""What open workouts still bring, against a run-off worked out by hand."""

import numpy as np
import polars as pl
import pytest

from training import backtest_run_off
from training.backtest_run_off import RunOff, estimated_rate, fit_run_off, further_amounts


def loans(closed: list[int | None], rates: list[list[float | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "asset_class": ["sme"] * len(closed),
            "observed_months": [0 if r[0] is None else 6 if r[1] is None else 12 for r in rates],
            "closed_months": closed,
            "actual_rate_06m": [r[0] for r in rates],
            "actual_rate_12m": [r[1] for r in rates],
        },
        schema_overrides={
            "closed_months": pl.Int32,
            "actual_rate_06m": pl.Float64,
            "actual_rate_12m": pl.Float64,
        },
    )


def test_loans_that_paid_and_closed_do_not_stand_for_the_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backtest_run_off, "_POOLING_LOANS", 0.0)
    seen = loans(
        [3, None, None, None],
        # The first closed in month 3 with all its cash; the last was watched for six months.
        [[0.8, 0.8], [0.1, 0.3], [0.0, 0.2], [0.2, None]],
    )
    run_off = fit_run_off(seen, np.array([0.5, 0.5, 0.5, 0.5]), (6, 12))
    # From month 6 to 12 the two that were open then brought 0.4 of forecasts of 1.0.
    # To month 6 four brought 1.1 of 2.0; three of them, 1.5 of 2.0 by forecast, were open then.
    assert run_off.shares["sme"] == pytest.approx((1.1 / 2.0 + 1.5 / 2.0 * 0.4, 0.4, 0.0))
    due = run_off.still_due(pl.Series(["sme", None, "auto"]), np.array([6.0, 9.0, 12.0]))
    assert due == pytest.approx([0.4, 0.2, 0.0])


def test_a_thin_class_is_drawn_to_all_loans() -> None:
    seen = loans([None] * 4, [[0.1, 0.2]] * 4).with_columns(
        asset_class=pl.Series(["sme", "sme", "sme", "auto"]),
        actual_rate_06m=pl.Series([0.1, 0.1, 0.1, 0.5]),
        actual_rate_12m=pl.Series([0.1, 0.1, 0.1, 0.5]),
    )
    run_off = fit_run_off(seen, np.full(4, 0.5), (6, 12))
    together = run_off.shares[""][0]
    assert together == pytest.approx(0.8 / 2.0)
    # One loan of its own that brought its whole forecast beside the weight of a hundred.
    assert run_off.shares["auto"][0] == pytest.approx((0.5 + 25 * 0.8) / (0.5 + 25 * 2.0))


def test_estimates_are_the_outcome_or_what_came_and_what_is_due() -> None:
    rows = pl.DataFrame(
        {
            "loan_id": ["closed", "open", "paid up"],
            "ead_amount": [100.0, 200.0, 100.0],
            "actual_rate": [0.4, None, None],
            "asset_class": ["sme", "sme", "sme"],
            "observed_months": [12, 6, 6],
            "is_resolved": [True, False, False],
            "forecast_rate": [0.5, 0.5, 0.5],
        }
    )
    further = further_amounts(rows, RunOff((0, 6, 12), {"": (1.0, 0.4, 0.0)}))
    assert dict(further.iter_rows()) == pytest.approx({"open": 40.0, "paid up": 20.0})
    estimated = estimated_rate(rows, pl.Series([0.4, 0.1, 0.95]), further)
    # No more than the 0.05 that the last one still owes.
    assert estimated.to_list() == pytest.approx([0.4, 0.3, 1.0])


def test_an_undated_outcome_that_is_not_known_is_its_forecast() -> None:
    rows = pl.DataFrame(
        {
            "loan_id": ["a"],
            "ead_amount": [100.0],
            "actual_rate": pl.Series([None], dtype=pl.Float64),
            "asset_class": ["consumer"],
            "observed_months": [3],
            "is_resolved": [False],
            "forecast_rate": [0.07],
        }
    )
    empty = pl.Series([None], dtype=pl.Float64)
    assert estimated_rate(rows, empty, further_amounts(rows, None)).to_list() == [0.07]
