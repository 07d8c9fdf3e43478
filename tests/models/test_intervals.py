"""Predictive distributions of rates: coverage that the theory promises, and figures by hand."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats

from models.intervals import DistributionError, RateDistribution
from training.errors import TrainingError
from training.interval_fit import fit_rate_distribution

Array = NDArray[np.float64]
LEVELS = np.array([0.1, 0.5, 0.9])


def residuals(
    forecast: Array, realised: Array, asset_class: str | list[str] = "auto"
) -> pl.DataFrame:
    named = [asset_class] * len(forecast) if isinstance(asset_class, str) else asset_class
    return pl.DataFrame(
        {"forecast_rate": forecast, "realised_rate": realised, "asset_class": named}
    )


def loans_of(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """A third pay nothing; the spread of the others grows with the forecast, and some exceed 1."""
    forecast = rng.uniform(0.05, 0.9, count)
    paying = rng.random(count) < 0.35 + 0.6 * forecast
    return forecast, np.where(paying, forecast * rng.lognormal(0, 0.5, count), 0.0)


def autos(count: int) -> pl.Series:
    return pl.Series(["auto"] * count)


def test_new_loans_fall_below_each_quantile_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    distribution = fit_rate_distribution(residuals(*loans_of(rng, 8_000)))
    forecast, realised = loans_of(rng, 8_000)
    wanted = np.array([0.6, 0.75, 0.9, 0.95])
    below = realised[:, None] <= distribution.quantiles(forecast, autos(8_000), wanted)
    # Two samples of 8,000: the error of the share is that of their difference.
    error = np.sqrt(2 * wanted * (1 - wanted) / 8_000)
    assert (np.abs(below.mean(axis=0) - wanted) < 4 * error).all()
    for band in np.array_split(np.argsort(forecast), 4):
        assert (np.abs(below[band].mean(axis=0) - wanted) < 4 * 2 * error).all()


def test_the_finite_sample_promise_holds_on_average_over_small_samples() -> None:
    # One bin of 100 continuous rates: P10 to P90 must cover 0.8 in the mean over samples, which
    # the plain sample quantiles do not reach.
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(200):
        sample = rng.normal(size=100)
        fitted = fit_rate_distribution(residuals(np.full(100, 0.3), sample))
        low, high = fitted.quantiles(np.array([0.3]), autos(1), np.array([0.1, 0.9]))[0]
        covered.append(stats.norm.cdf(high) - stats.norm.cdf(low))
    assert np.mean(covered) == pytest.approx(0.8, abs=3 * np.std(covered) / 200**0.5)


def test_quantiles_by_hand() -> None:
    # 100 rates 0.01 ... 1.00: the order statistic of rank p x 101.
    rates = np.arange(1, 101) / 100
    fitted = fit_rate_distribution(residuals(np.full(100, 0.4), rates))
    found = fitted.quantiles(np.array([0.4]), autos(1), LEVELS)[0]
    assert found == pytest.approx([0.101, 0.505, 0.909])
    # The worst tenth of the curve: a mean near that of 0.01 ... 0.10.
    shortfall = fitted.expected_shortfall(np.array([0.4]), autos(1))[0]
    assert shortfall == pytest.approx(np.mean(rates[:10]), abs=0.005)
    assert fitted.expected_shortfall(np.array([0.4]), autos(1), 1.0)[0] == pytest.approx(
        rates.mean(), abs=0.002
    )


def test_quantiles_rise_along_both_and_nothing_falls() -> None:
    rng = np.random.default_rng(3)
    fitted = fit_rate_distribution(residuals(*loans_of(rng, 3_000)))
    forecast = np.linspace(-0.2, 1.2, 200)
    found = fitted.quantiles(forecast, autos(200), np.linspace(0, 1, 51))
    assert (np.diff(found, axis=1) >= 0).all()
    assert (np.diff(found, axis=0) >= 0).all()
    assert (np.diff(fitted.probability_of_nothing(forecast, autos(200))) <= 0).all()


def test_the_probability_of_nothing_is_calibrated_by_band() -> None:
    rng = np.random.default_rng(4)
    fitted = fit_rate_distribution(residuals(*loans_of(rng, 10_000)))
    forecast = np.linspace(0.1, 0.85, 4)
    found = fitted.probability_of_nothing(forecast, autos(4))
    assert found == pytest.approx(1 - (0.35 + 0.6 * forecast), abs=0.06)


def test_thick_classes_have_their_own_group_and_thin_ones_say_that_they_are_pooled() -> None:
    rng = np.random.default_rng(5)
    forecast = np.full(1_020, 0.5)
    realised = np.concatenate([rng.uniform(0, 0.2, 500), rng.uniform(0.8, 1.0, 520)])
    named = ["auto"] * 500 + ["consumer"] * 500 + ["sme"] * 20
    fitted = fit_rate_distribution(residuals(forecast, realised, named))
    assert fitted.pooled_classes == {"sme": 20}
    classes = pl.Series(["auto", "consumer", "sme", "never seen", None])
    medians = fitted.quantiles(np.full(5, 0.5), classes, np.array([0.5]))[:, 0]
    assert medians[0] < 0.2 < 0.8 < medians[1]
    assert medians[2] == medians[3] == medians[4]
    assert 0.1 < fitted.mean(np.array([0.5]), classes[3:4])[0] < 0.9


def test_it_survives_a_round_trip_through_json() -> None:
    fitted = fit_rate_distribution(residuals(*loans_of(np.random.default_rng(6), 500)))
    assert RateDistribution.model_validate_json(fitted.model_dump_json()) == fitted


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (residuals(np.full(99, 0.1), np.full(99, 0.1)), "99 residuals"),
        (residuals(np.full(200, 0.1), np.full(200, np.nan)), "realised_rate is missing"),
        (
            residuals(np.full(200, 0.1), np.full(200, 0.1)).with_columns(
                horizon_months=pl.Series([12, 24] * 100)
            ),
            "several horizons",
        ),
    ],
)
def test_residuals_that_say_too_little_are_refused(frame: pl.DataFrame, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        fit_rate_distribution(frame)


def test_questions_out_of_range_are_refused() -> None:
    fitted = fit_rate_distribution(residuals(*loans_of(np.random.default_rng(7), 200)))
    with pytest.raises(DistributionError, match="probabilities must be 0 to 1"):
        fitted.quantiles(np.array([0.1]), autos(1), np.array([1.5]))
    with pytest.raises(DistributionError, match="alpha"):
        fitted.expected_shortfall(np.array([0.1]), autos(1), 0.0)
