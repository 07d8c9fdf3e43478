"""Monitoring against figures worked by hand."""

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
from scipy import stats

from features.portfolio import Portfolio
from models.errors import MonitoringError
from models.monitoring import LiveForecasts, lumpiness, monitor
from models.package_distribution import SharedRisk

LUMPS = pl.DataFrame(
    {"asset_class": ["auto", "sme"], "months": [6, 6], "lump_rate": [0.5, 0.2]},
    schema_overrides={"months": pl.Int32},
)


def forecasts(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "loan_id": ["S1"],
            "package_id": ["P"],
            "model_version": ["1"],
            "cut_off_date": [date(2024, 7, 31)],
            "ead": [1000.0],
            "asset_class": ["auto"],
            "region": ["CN-GD"],
            "recovery_rate_06m": [0.12],
            "recovery_rate_12m": [0.18],
            **columns,
        }
    )


def test_cash_to_date_is_interpolated_and_added_up(simulated: Portfolio) -> None:
    ledger = pl.DataFrame(
        {
            "loan_id": ["S1"] * 4,
            # The month of the cut-off is before it, and December is not booked yet.
            "period": [date(2024, m, 1) for m in (7, 8, 11, 12)],
            "gross_amount": [500.0, 30.0, 50.0, 900.0],
            "collateral_amount": [None] * 4,
            "cost_amount": [0.0, 0.0, 8.0, 0.0],
            "route": ["collection"] * 4,
            "recorded_at": [datetime(2024, 12, 5)] * 4,
        },
        schema_overrides=simulated.ledger.collect_schema(),
    )
    portfolio = simulated.with_tables(simulated.tape, ledger.lazy())
    found = LiveForecasts.of(forecasts(), portfolio).to_date()
    # Observed until December with a lag of one month: four months after July are booked.
    assert found.select("months", "forecast_rate", "actual_rate").row(0) == (
        4, pytest.approx(0.12 * 4 / 6), pytest.approx(0.072),
    )  # fmt: skip
    later = forecasts(cut_off_date=[date(2024, 11, 30)])
    assert LiveForecasts.of(later, portfolio).to_date().is_empty()
    with pytest.raises(MonitoringError, match="forecasts lack package_id"):
        LiveForecasts.of(forecasts().drop("package_id"), portfolio)


def test_a_loan_valued_twice_is_not_paid_twice(simulated: Portfolio) -> None:
    ledger = pl.DataFrame(
        {
            "loan_id": ["S1"] * 3,
            "period": [date(2024, m, 1) for m in (8, 10, 11)],
            "gross_amount": [30.0, 20.0, 50.0],
            "collateral_amount": [None] * 3,
            "cost_amount": [0.0] * 3,
            "route": ["collection"] * 3,
            "recorded_at": [datetime(2024, 12, 5)] * 3,
        },
        schema_overrides=simulated.ledger.collect_schema(),
    )
    portfolio = simulated.with_tables(simulated.tape, ledger.lazy())
    twice = pl.concat(
        [
            forecasts(),
            forecasts(package_id=["Q"]),
            forecasts(package_id=["R"], cut_off_date=[date(2024, 9, 30)]),
        ]
    )
    live = LiveForecasts.of(twice, portfolio)
    assert live.to_date()["actual_rate"].to_list() == pytest.approx([0.1, 0.1, 0.07])
    # At the end of October the third has been watched for one month.
    october = live.to_date(2024 * 12 + 10)
    assert october["months"].to_list() == [3, 3, 1]
    assert october["actual_rate"].to_list() == pytest.approx([0.05, 0.05, 0.02])
    assert live.to_date(2024 * 12 + 9)["package_id"].to_list() == ["P", "Q"]
    assert live.booked_months == range(2024 * 12 + 8, 2024 * 12 + 12)


def valued(count: int, actual: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "loan_id": [f"S{n}" for n in range(count)],
            "package_id": "P",
            "model_version": "1",
            "cut_off_date": date(2024, 7, 31),
            "ead": 1000.0,
            "asset_class": "sme",
            "region": "CN-GD",
            "months": 4,
            "forecast_rate": 0.1,
            "actual_rate": actual,
        }
    )


def test_the_interval_is_that_worked_by_hand() -> None:
    shared = SharedRisk(vintage_months=3, vintages=20, vintage_sd=0.1, region_sd=0.05)
    found = monitor(valued(400, 0.09), LUMPS, shared).row(0, named=True)
    mean = 400 * 100.0
    variance = 400 * 100.0 * 200.0 + (0.1**2 + 0.05**2) * mean**2
    ends = stats.gamma.ppf([0.005, 0.995], mean**2 / variance, scale=variance / mean)
    assert (found["low_amount"], found["high_amount"]) == pytest.approx(tuple(ends))
    assert found["ratio"] == pytest.approx(0.9)
    below = stats.gamma.cdf(0.9 * mean, mean**2 / variance, scale=variance / mean)
    assert found["p_value"] == pytest.approx(2 * below)
    assert (found["loans"], found["months"], found["warning"]) == (400, 4.0, None)


@pytest.mark.parametrize(("actual", "warning"), [(0.07, "below"), (0.13, "above")])
def test_cash_outside_warns(actual: float, warning: str) -> None:
    found = monitor(valued(400, actual), LUMPS, SharedRisk.none())
    assert found["warning"].to_list() == [warning]
    assert found["p_value"].item() < 0.01


def test_groups_stand_by_themselves() -> None:
    both = pl.concat([valued(400, 0.07), valued(400, 0.1).with_columns(model_version=pl.lit("2"))])
    found = monitor(both, LUMPS, SharedRisk.none())
    assert found.select("model_version", "warning").rows() == [("1", "below"), ("2", None)]
    by_vintage = monitor(both, LUMPS, SharedRisk.none(), by=("vintage",))
    assert by_vintage.select("vintage", "loans").rows() == [("2024Q3", 800)]


def test_lumps_are_mean_square_over_mean(simulated: Portfolio) -> None:
    found = lumpiness(simulated)
    assert found["months"].unique().sort().to_list()[0] == 1
    assert ((found["lump_rate"] > 0) & (found["lump_rate"] < 1.5)).all()
    # Cards pay little at a time, mortgages much.
    at = dict(found.filter(pl.col("months") == 24).select("asset_class", "lump_rate").iter_rows())
    assert at["credit_card"] < at["residential_mortgage"]


def test_independent_lumps_leave_the_interval_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    warned = 0
    for _ in range(300):
        pays = rng.random(400) < 0.1 / 0.15
        # Uniform from 0 to 0.3: mean square over mean is 0.2, the lump of the table.
        rates = np.where(pays, rng.uniform(0, 0.3, 400), 0.0)
        loans = valued(400, 0.0).with_columns(actual_rate=pl.Series(rates))
        warned += monitor(loans, LUMPS, SharedRisk.none(), level=0.9)["warning"].count()
    # Mean square bounds the variance from above: fewer than 30, but some.
    assert 0 < warned <= 42


def below_cost(forecast: list[float], actual: list[float]) -> pl.DataFrame:
    """Two hundred loans, half with each forecast and cash."""
    half = valued(100, 0.0)
    return pl.concat(
        [
            half.with_columns(forecast_rate=pl.lit(rate), actual_rate=pl.lit(paid))
            for rate, paid in zip(forecast, actual, strict=True)
        ]
    )


def test_costs_forecast_beyond_cash_move_the_band_and_are_no_lumps() -> None:
    # 10,000 due in lumps of 200, 4,000 of costs beyond the cash of the other loans.
    found = monitor(below_cost([0.1, -0.04], [0.1, -0.04]), LUMPS, SharedRisk.none())
    row = found.row(0, named=True)
    ends = stats.gamma.ppf([0.005, 0.995], 10_000 / 200, scale=200)
    assert (row["low_amount"], row["high_amount"]) == pytest.approx(tuple(ends - 4_000))
    assert (row["forecast_amount"], row["warning"]) == (pytest.approx(6_000), None)
    assert row["p_value"] > 0.5
    # Less is forecast than the costs: there is a band yet, and no ratio.
    found = monitor(below_cost([0.1, -0.12], [0.1, -0.12]), LUMPS, SharedRisk.none())
    row = found.row(0, named=True)
    assert row["low_amount"] < row["forecast_amount"] < row["high_amount"]
    assert (row["warning"], row["ratio"]) == (None, None)


@pytest.mark.parametrize("forecast", [[-0.01, -0.02], [0.0, 0.0]])
def test_where_no_cash_is_due_there_is_no_band_and_no_warning(forecast: list[float]) -> None:
    found = monitor(below_cost(forecast, [0.0, -0.5]), LUMPS, SharedRisk.none()).row(0, named=True)
    for name in ("low_amount", "high_amount", "p_value", "ratio", "warning"):
        assert found[name] is None
    assert (found["loans"], found["months"]) == (200, 4.0)


def test_forecasts_slightly_below_zero_give_a_band() -> None:
    # By lumps the costs outweigh the cash: 45 * 1,800 a loan against 50 * 200.
    loans = below_cost([0.05, -0.005], [0.05, -0.004]).with_columns(
        ead=pl.when(pl.col("forecast_rate") < 0).then(9_000.0).otherwise(1_000.0)
    )
    found = monitor(loans, LUMPS, SharedRisk.none()).row(0, named=True)
    assert found["low_amount"] < found["forecast_amount"] < found["high_amount"]
    assert found["warning"] is None
    assert found["p_value"] > 0.2
