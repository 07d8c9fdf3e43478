"""Intervals come of what was known by then; packages add up."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from models.package_distribution import SharedRisk
from training.backtest_intervals import (
    LEAST_PACKAGE,
    Misses,
    Spread,
    package_rows,
    with_intervals,
)
from training.backtest_loans import loans_at
from training.interval_fit import fit_rate_distribution

HORIZONS = (6, 12, 24)


@pytest.fixture(scope="module")
def rows(simulated: Portfolio) -> pl.DataFrame:
    """Loans of 2017 and 2018 with a flat forecast."""
    loans = loans_at(simulated).filter(pl.col("vintage_date").dt.year().is_between(2017, 2018))
    return loans.with_columns(
        fold=pl.lit(0, dtype=pl.Int32),
        **{f"forecast_rate_{months:02d}m": pl.lit(0.02 * months) for months in HORIZONS},
    )


def test_only_what_was_known_by_the_day_is_read(simulated: Portfolio, rows: pl.DataFrame) -> None:
    misses = Misses(simulated, 1)
    assert misses.spread(date(2022, 12, 31), HORIZONS) is None
    misses.add(rows)
    # With a month of lag, loans to November 2017 had been watched for a year at the end of 2018.
    early, later = (misses.spread(date(year, 12, 31), HORIZONS) for year in (2018, 2022))
    assert early is not None
    assert later is not None
    assert (early.months, later.months) == (12, 24)
    known = rows.filter(pl.col("vintage_date") <= date(2017, 11, 30))
    assert 100 < known.height < rows.height
    assert sum(early.rates.groups[""].loans) == known.height
    assert sum(later.rates.groups[""].loans) == rows.height
    assert misses.spread(date(2017, 6, 30), HORIZONS) is None


def test_a_quantile_is_that_of_the_misses(rows: pl.DataFrame) -> None:
    realised = np.linspace(0, 1, 199)
    residuals = pl.DataFrame(
        {
            "forecast_rate": np.full(199, 0.5),
            "realised_rate": realised,
            "asset_class": [""] * 199,
            "horizon_months": pl.Series([12] * 199, dtype=pl.Int32),
        }
    )
    spread = Spread(fit_rate_distribution(residuals), None)
    found = with_intervals(rows.with_columns(forecast_rate_12m=pl.lit(0.5)), spread)
    assert found["interval_months"].unique().to_list() == [12]
    # Rank p(n + 1): the 20th, 100th and 180th of 199.
    for name, rank in (("p10", 20), ("p50", 100), ("p90", 180)):
        assert found[f"forecast_{name}_rate"].to_numpy() == pytest.approx(realised[rank - 1])
    without = with_intervals(rows.with_columns(forecast_rate_12m=pl.lit(None)), spread)
    assert without["forecast_p10_rate"].null_count() == rows.height


def test_packages_add_up_and_are_missing_while_a_loan_is(rows: pl.DataFrame) -> None:
    found = package_rows(rows, None, 12)
    whole = found.filter(pl.col("package_id").is_null())
    assert whole["vintage_period"].to_list() == ["2017", "2018"]
    first = rows.filter(pl.col("vintage_date").dt.year() == 2017)
    assert whole["loans"].to_list() == [first.height, rows.height - first.height]
    assert whole["forecast_amount"][0] == pytest.approx(0.24 * first["ead_amount"].to_numpy().sum())
    came = first["ead_amount"].dot(first["actual_rate_12m"])
    assert whole["actual_amount"][0] == pytest.approx(came)
    assert whole["p10_amount"].to_list() == [None, None]
    packages = found.filter(pl.col("package_id").is_not_null())
    large = rows.group_by("package_id").len().filter(pl.col("len") >= LEAST_PACKAGE)
    assert sorted(packages["package_id"]) == sorted(large["package_id"])
    one = first["loan_id"][0]
    unknown = rows.with_columns(
        pl.when(pl.col("loan_id") != one).then("actual_rate_12m").alias("actual_rate_12m")
    )
    assert package_rows(unknown, None, 12)["actual_amount"][0] is None


def test_a_vintage_that_is_sure_has_its_forecast_in_the_middle(rows: pl.DataFrame) -> None:
    residuals = pl.DataFrame(
        {
            "forecast_rate": np.tile([0.2, 0.3], 100),
            "realised_rate": np.tile([0.1, 0.2, 0.3, 0.4], 50),
            "asset_class": [""] * 200,
            "horizon_months": pl.Series([12] * 200, dtype=pl.Int32),
        }
    )
    shared = SharedRisk(vintage_months=3, vintages=4, vintage_sd=0.1, region_sd=0.0)
    spread = Spread(fit_rate_distribution(residuals), shared)
    found = package_rows(rows, spread, None).filter(pl.col("package_id").is_null())
    assert found["vintage_period"].to_list() == ["2017Q2", "2017Q3", "2018Q1"]
    ratio = (found["p90_amount"] - found["p10_amount"]) / found["forecast_amount"]
    # At least the shared tenth, 2 x 1.2816 of it.
    assert (ratio > 0.25).all()
    assert found["p50_amount"].to_numpy() == pytest.approx(
        found["forecast_amount"].to_numpy(), rel=0.02
    )
