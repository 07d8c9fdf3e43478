"""Forecast and cash by the same month, and the reading of a curve between its horizons."""

import numpy as np
import polars as pl
import pytest

from training.backtest_folds import curve_at, to_date


def test_a_curve_goes_through_its_horizons_and_never_falls() -> None:
    curve = np.array([[0.1, 0.15, 0.3], [0.0, 0.0, 0.5]])
    for place, months in enumerate((6, 12, 24)):
        read = curve_at(curve, (6, 12, 24), np.array([months, months]))
        assert read == pytest.approx(curve[:, place])
    assert curve_at(curve, (6, 12, 24), np.array([0, 0])) == pytest.approx([0, 0])
    path = [curve_at(curve, (6, 12, 24), np.array([m, m])) for m in range(25)]
    assert (np.diff(np.array(path), axis=0) >= 0).all()
    # A straight curve is read straight.
    straight = curve_at(np.array([[0.1, 0.2, 0.4]]), (6, 12, 24), np.array([18]))
    assert straight == pytest.approx([0.3])


def test_what_came_to_date_stands_beside_the_forecast_of_the_same_month() -> None:
    rows = pl.DataFrame(
        {
            "observed_months": [0, 9, 30],
            "forecast_rate_06m": [0.1, 0.1, 0.1],
            "forecast_rate_12m": [0.2, 0.2, 0.2],
            "actual_rate_12m": [None, None, 0.25],
            "recovery_rate_to_date": [0.0, 0.18, 0.4],
        }
    )
    months, forecast, actual = to_date(rows, (6, 12))
    # Nothing can be said at month 0; past the end of the curve its last month is compared.
    assert months.to_list() == [None, 9, 12]
    assert forecast.to_list() == pytest.approx([None, 0.15, 0.2])
    assert actual.to_list() == pytest.approx([None, 0.18, 0.25])


def test_undated_outcomes_have_no_month() -> None:
    rows = pl.DataFrame({"observed_months": [5]})
    assert [column.to_list() for column in to_date(rows, ())] == [[None], [None], [None]]
