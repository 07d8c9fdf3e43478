"""Packages: the shared variance that generated data were given, coverage, and limits by hand."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from models.intervals import DistributionError, RateDistribution
from models.package_distribution import PackageForecast, SharedRisk, package_interval
from training.errors import TrainingError
from training.interval_fit import fit_rate_distribution
from training.shared_risk_fit import fit_shared_risk


def loans_of(
    rng: np.random.Generator,
    vintages: int,
    loans: int,
    *,
    bias: float = 0.0,
    vintage_sd: float = 0.0,
    region_sd: float = 0.0,
    regions: int = 6,
) -> pl.DataFrame:
    """Quarterly vintages with known shared effects and gamma noise of each loan's own."""
    parts = []
    for number in range(vintages):
        year, quarter = divmod(number, 4)
        shock = rng.normal(0, vintage_sd)
        own_region = rng.integers(0, regions, loans)
        by_region = rng.normal(0, region_sd, regions)
        forecast = rng.uniform(0.1, 0.5, loans)
        mean = forecast * (1 + bias + shock + by_region[own_region])
        parts.append(
            pl.DataFrame(
                {
                    "vintage_date": [date(2000 + year, 3 * quarter + 1, 1)] * loans,
                    "region": [f"R{place}" for place in own_region],
                    "asset_class": [""] * loans,
                    "ead": rng.lognormal(0, 0.7, loans),
                    "forecast_rate": forecast,
                    "realised_rate": np.maximum(mean, 0.01) * rng.gamma(1.5, 1 / 1.5, loans),
                }
            )
        )
    return pl.concat(parts)


def forecast_of(
    loans: pl.DataFrame, distribution: RateDistribution, shared: SharedRisk, seed: int = 0
) -> PackageForecast:
    return package_interval(
        loans["ead"].to_numpy(),
        loans["forecast_rate"].to_numpy(),
        loans["asset_class"],
        loans["vintage_date"],
        loans["region"],
        distribution,
        shared,
        seed=seed,
    )


def test_the_method_of_moments_finds_the_variances_that_were_put_in() -> None:
    rng = np.random.default_rng(1)
    found = [
        fit_shared_risk(loans_of(rng, 80, 300, bias=-0.1, vintage_sd=0.1, region_sd=0.15), 3)
        for _ in range(6)
    ]
    # Around the forecast: what all vintages miss alike is part of what a vintage misses.
    around = 0.1**2 + 0.1**2
    assert np.mean([one.vintage_sd**2 for one in found]) == pytest.approx(around, rel=0.25)
    assert np.mean([one.region_sd**2 for one in found]) == pytest.approx(0.15**2, rel=0.25)


def test_independent_loans_share_nothing() -> None:
    rng = np.random.default_rng(2)
    found = [fit_shared_risk(loans_of(rng, 40, 200), 3) for _ in range(10)]
    assert all(one.vintage_sd >= 0 and one.region_sd >= 0 for one in found)
    # The loans' own noise alone gives a vintage a deviation of 0.09.
    assert np.mean([one.vintage_sd for one in found]) < 0.03


def test_one_region_leaves_everything_to_the_vintage() -> None:
    rng = np.random.default_rng(3)
    found = fit_shared_risk(loans_of(rng, 100, 200, vintage_sd=0.2, regions=1), 3)
    assert found.region_sd == 0
    assert found.vintage_sd == pytest.approx(0.2, rel=0.25)


def test_packages_of_later_vintages_are_covered_and_independence_covers_too_few() -> None:
    rng = np.random.default_rng(4)
    every = loans_of(rng, 100, 300, bias=-0.05, vintage_sd=0.12, region_sd=0.1)
    early = every.filter(pl.col("vintage_date") < date(2010, 1, 1))
    distribution, shared = fit_rate_distribution(early), fit_shared_risk(early, 3)
    covered, naive = [], []
    for _, late in every.filter(pl.col("vintage_date") >= date(2010, 1, 1)).group_by(
        "vintage_date", maintain_order=True
    ):
        actual = (late["ead"] * late["realised_rate"]).sum()
        ours = forecast_of(late, distribution, shared)
        alone = forecast_of(late, distribution, SharedRisk.none())
        covered.append(ours.low_amount <= actual <= ours.high_amount)
        naive.append(alone.low_amount <= actual <= alone.high_amount)
    assert len(covered) == 60
    # Binomial error of 60 vintages, and what 40 vintages leave open about the variances.
    assert np.mean(covered) == pytest.approx(0.8, abs=0.15)
    assert np.mean(naive) < 0.6


@pytest.fixture(scope="module")
def fitted() -> RateDistribution:
    return fit_rate_distribution(loans_of(np.random.default_rng(5), 10, 300))


def risk(**changed: float) -> SharedRisk:
    return SharedRisk.none().model_copy(update=changed)


def test_a_large_package_is_as_sure_as_what_its_loans_share(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(6), 1, 100_000)
    ours = forecast_of(loans, fitted, risk(vintage_sd=0.1))
    # Normal quantiles around the forecast; 100,000 loans have next to no noise left.
    assert ours.deviation_p50 == pytest.approx(0, abs=0.01)
    assert ours.deviation_p10 == pytest.approx(-0.12816, abs=0.01)
    assert ours.deviation_p90 == pytest.approx(0.12816, abs=0.01)
    alone = forecast_of(loans, fitted, SharedRisk.none())
    assert alone.deviation_p90 - alone.deviation_p10 < 0.02


def test_regions_diversify_and_vintages_do(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(7), 4, 5_000, regions=4)
    shared = risk(vintage_sd=0.2).model_copy(update={"vintage_months": 3})
    whole = forecast_of(loans, fitted, shared)
    one = forecast_of(loans.filter(pl.col("vintage_date") == date(2000, 1, 1)), fitted, shared)

    def width(package: PackageForecast) -> float:
        return package.deviation_p90 - package.deviation_p10

    # Four vintages of one size: half the spread.
    assert width(whole) == pytest.approx(width(one) / 2, rel=0.1)
    assert width(one) == pytest.approx(2 * 1.28155 * 0.2, rel=0.05)
    regional = forecast_of(loans, fitted, risk(region_sd=0.2))
    assert width(regional) == pytest.approx(2 * 1.28155 * 0.1, rel=0.1)


def test_one_loan_is_spread_as_its_own_distribution(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(8), 1, 1)
    ours = forecast_of(loans, fitted, SharedRisk.none())
    forecast = loans["forecast_rate"].to_numpy()
    ends = fitted.quantiles(forecast, loans["asset_class"], np.array([0.1, 0.9]))[0]
    width = ours.high_amount - ours.low_amount
    assert width == pytest.approx(loans["ead"][0] * (ends[1] - ends[0]), rel=0.05)


def test_the_same_seed_gives_the_same_figures(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(9), 2, 150)
    shared = risk(vintage_sd=0.1)
    assert forecast_of(loans, fitted, shared, 3) == forecast_of(loans, fitted, shared, 3)
    assert forecast_of(loans, fitted, shared, 3) != forecast_of(loans, fitted, shared, 4)


def test_loans_without_vintage_or_region_share_one(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(10), 1, 5_000)
    unknown = loans.with_columns(
        vintage_date=pl.lit(None, dtype=pl.Date), region=pl.lit(None, dtype=pl.String)
    )
    ours = forecast_of(unknown, fitted, risk(vintage_sd=0.2, region_sd=0.1))
    width = ours.deviation_p90 - ours.deviation_p10
    assert width == pytest.approx(2 * 1.28155 * np.hypot(0.2, 0.1), rel=0.06)


def test_what_cannot_be_estimated_or_forecast_is_refused(fitted: RateDistribution) -> None:
    loans = loans_of(np.random.default_rng(11), 2, 50)
    with pytest.raises(TrainingError, match="2 vintages"):
        fit_shared_risk(loans, 3)
    with pytest.raises(DistributionError, match="0 loans"):
        forecast_of(loans.clear(), fitted, SharedRisk.none())
    with pytest.raises(DistributionError, match="total forecast"):
        forecast_of(loans.with_columns(forecast_rate=pl.lit(0.0)), fitted, SharedRisk.none())


def test_it_survives_a_round_trip_through_json() -> None:
    found = fit_shared_risk(loans_of(np.random.default_rng(12), 8, 100), 3)
    assert SharedRisk.model_validate_json(found.model_dump_json()) == found
