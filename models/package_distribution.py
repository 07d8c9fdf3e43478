"""How sure a package's total is: what its loans share, and what each does by itself.

Total cash of a package = sum of ead x forecast x (1 + vintage + region) + what each loan does by
itself. The vintage's part is common to all its loans, the region's to those of a region in a
vintage. Both are spread around the forecast itself: a bias of the past is part of their spread, and
moves no forecast before someone has answered for the correction.
"""

from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.intervals import DistributionError, RateDistribution

Array = NDArray[np.float64]
_DRAWS: Final = 4_000
# The loans with the widest spread are drawn from their own distribution, the sum of the others
# is near normal (Lindeberg) and drawn as one.
_DRAWN_LOANS: Final = 100


class SharedRisk(BaseModel):
    """What the loans of a vintage, and of a region in a vintage, miss together.

    Attributes
    ----------
    vintage_months : int
        Length of a vintage in calendar months: 3, 6 or 12.
    vintages : int
        Vintages it was estimated on.
    vintage_sd : float
        Root mean square of a vintage's actual / forecast cash - 1, its loans' own noise taken off.
    region_sd : float
        The same of a region in a vintage, beyond the vintage's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vintage_months: Literal[3, 6, 12]
    vintages: int
    vintage_sd: float
    region_sd: float

    @classmethod
    def none(cls) -> Self:
        """Independence: the naive assumption, for comparison."""
        return cls(vintage_months=12, vintages=0, vintage_sd=0.0, region_sd=0.0)


@dataclass(frozen=True)
class PackageForecast:
    """Distribution of a package's total net cash; amounts in currency.

    Attributes
    ----------
    forecast_amount : float
        Sum of the loans' forecasts.
    p10_amount, p50_amount, p90_amount : float
        Quantiles of the total.
    low_amount, high_amount : float
        Ends of the interval at `level`.
    level : float
        Probability of the interval.
    deviation_p10, deviation_p50, deviation_p90 : float
        Quantiles of total / `forecast_amount` - 1 (偏差率).
    """

    forecast_amount: float
    p10_amount: float
    p50_amount: float
    p90_amount: float
    low_amount: float
    high_amount: float
    level: float
    deviation_p10: float
    deviation_p50: float
    deviation_p90: float


def package_interval(
    ead: Array,
    forecast: Array,
    asset_class: pl.Series,
    vintage: pl.Series,
    region: pl.Series,
    distribution: RateDistribution,
    shared: SharedRisk,
    level: float = 0.8,
    seed: int = 0,
) -> PackageForecast:
    """Distribution of the total cash of a package, by seeded simulation.

    Parameters
    ----------
    ead, forecast : array, shape (loans,)
        Exposures (currency) and forecast rates at the distribution's horizon.
    asset_class, vintage, region : polars.Series, shape (loans,)
        Asset class, vintage date and region of each loan. Loans without a vintage share one.
    distribution : RateDistribution
        Each loan's own spread.
    shared : SharedRisk
        What they share; `SharedRisk.none()` for independence.
    level : float
        Probability of the interval, between 0 and 1.
    seed : int
        Seed of the draws: the same arguments give the same figures.

    Raises
    ------
    DistributionError
        When the package is empty, a value is missing, its forecast is not above 0, or `level` is
        out of range.
    """
    if not 0 < level < 1:
        raise DistributionError(f"level must be between 0 and 1, not {level}")
    expected = ead * forecast
    total = float(expected.sum())
    if not len(ead) or not np.isfinite(expected).all() or total <= 0:
        raise DistributionError(
            f"the {len(ead)} loans of the package have a total forecast of {total}; score it, and"
            " leave out the loans without a forecast"
        )
    rng = np.random.default_rng(seed)
    draws = total + _own_noise(rng, ead, forecast, asset_class, distribution)
    draws += _shared_noise(rng, expected, vintage, region, shared)
    tail = (1 - level) / 2
    p10, p50, p90, low, high = np.quantile(draws, [0.1, 0.5, 0.9, tail, 1 - tail]).tolist()
    return PackageForecast(
        forecast_amount=total,
        p10_amount=p10,
        p50_amount=p50,
        p90_amount=p90,
        low_amount=low,
        high_amount=high,
        level=level,
        deviation_p10=p10 / total - 1,
        deviation_p50=p50 / total - 1,
        deviation_p90=p90 / total - 1,
    )


def _shared_noise(
    rng: np.random.Generator,
    expected: Array,
    vintage: pl.Series,
    region: pl.Series,
    shared: SharedRisk,
) -> Array:
    """What the loans miss together, mean 0, currency, shape (draws,)."""
    of_vintage, of_region = vintage_regions(vintage, region, shared.vintage_months)
    # Summed loan after loan: threads that share a sum round it another way each time.
    variance = shared.vintage_sd**2 * float((np.bincount(of_vintage, expected) ** 2).sum())
    variance += shared.region_sd**2 * float((np.bincount(of_region, expected) ** 2).sum())
    return rng.normal(0.0, np.sqrt(variance), _DRAWS)


def _own_noise(
    rng: np.random.Generator,
    ead: Array,
    forecast: Array,
    asset_class: pl.Series,
    distribution: RateDistribution,
) -> Array:
    """What the loans do each by itself, mean 0, currency, shape (draws,)."""
    spread = ead * distribution.deviation_sd(forecast, asset_class)
    widest = np.argsort(-spread, kind="stable")
    drawn, rest = widest[:_DRAWN_LOANS], widest[_DRAWN_LOANS:]
    noise = rng.normal(0.0, float(np.sqrt((spread[rest] ** 2).sum())), _DRAWS)
    grid = np.array(distribution.probabilities)
    table = distribution.quantiles(forecast[drawn], asset_class[drawn.tolist()], grid)
    # Mean of the curve that is drawn from, so that the noise is centred.
    means = np.trapezoid(table, grid, axis=1)
    for loan, curve, mean in zip(drawn, table, means, strict=True):
        noise += ead[loan] * (np.interp(rng.random(_DRAWS), grid, curve) - mean)
    return noise


def vintage_regions(
    vintage: pl.Series, region: pl.Series, months: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number of each loan's vintage, and of its region within the vintage, both from 0.

    Numbers rise with the period, and within it with the name of the region.
    """
    _, of_vintage = np.unique(vintage_period(vintage, months).to_numpy(), return_inverse=True)
    names, code = np.unique(
        region.cast(pl.String).fill_null("").to_numpy().astype(str), return_inverse=True
    )
    _, of_region = np.unique(of_vintage * len(names) + code, return_inverse=True)
    return of_vintage, of_region


def vintage_period(vintage: pl.Series, months: int) -> pl.Series:
    """Calendar period of a vintage date; loans without one share period -1."""
    return ((vintage.dt.year() * 12 + vintage.dt.month() - 1) // months).fill_null(-1)
