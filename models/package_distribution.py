"""How sure a package's total is: what its loans share, and what each does by itself.

Total cash of a package = sum of ead x forecast x (1 + bias + vintage + region) + what is left to
each loan. The vintage's part is common to all its loans, the region's to those of a region in a
vintage; both are random effects whose variances come from walk-forward residuals by the method of
moments (Searle, Casella & McCulloch 1992, ch. 5): products of two different loans' misses have no
part of either loan's own noise in their mean, only what the two share.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from models.errors import DistributionError
from models.intervals import RateDistribution

Array = NDArray[np.float64]
LEAST_VINTAGES: Final = 3
_VINTAGE_MONTHS: Final = (3, 6, 12)
# The shortest vintage with this many loans in the median: thinner ones are mostly noise.
_LOANS_A_VINTAGE: Final = 100
_DRAWS: Final = 10_000
# The loans with the widest spread are drawn from their own distribution, the sum of the others
# is near normal (Lindeberg) and drawn as one.
_DRAWN_LOANS: Final = 200
_ROUNDS: Final = 20
# A first guess of the shared standard deviation; the rounds forget it.
_FIRST_SD: Final = 0.1


class SharedRisk(BaseModel):
    """What the loans of a vintage, and of a region in a vintage, miss together.

    Attributes
    ----------
    vintage_months : int
        Length of a vintage in calendar months: 3, 6 or 12.
    vintages : int
        Vintages it was estimated on.
    bias : float
        Mean of actual / forecast cash - 1 over the vintages, shrunk to 0 as far as it is noise.
    bias_sd : float
        Standard error of the bias.
    vintage_sd : float
        Standard deviation of a vintage's actual / forecast cash, its loans' own noise taken off.
    region_sd : float
        The same of a region in a vintage, beyond the vintage's.
    degrees_of_freedom : float
        Effective vintages less one: how well the standard deviations are known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vintage_months: int
    vintages: int
    bias: float
    bias_sd: float
    vintage_sd: float
    region_sd: float
    degrees_of_freedom: float

    @classmethod
    def none(cls) -> Self:
        """Independence: the naive assumption, for comparison."""
        return cls(
            vintage_months=12,
            vintages=0,
            bias=0.0,
            bias_sd=0.0,
            vintage_sd=0.0,
            region_sd=0.0,
            degrees_of_freedom=1.0,
        )

    @classmethod
    def fit(cls, residuals: pl.DataFrame, vintage_months: int | None = None) -> Self:
        """Estimate from residuals of forecasts made out of time.

        Parameters
        ----------
        residuals : polars.DataFrame
            `vintage_date`, `region`, `ead`, `forecast_rate`, `realised_rate`; see
            `training.walk_forward`.
        vintage_months : int, optional
            3, 6 or 12; by default the shortest with about a hundred loans a vintage.

        Raises
        ------
        DistributionError
            When there are fewer than `LEAST_VINTAGES` vintages, or nothing was forecast.
        """
        length = vintage_months or _length(residuals)
        if length not in _VINTAGE_MONTHS:
            raise DistributionError(f"vintage_months must be 3, 6 or 12, not {length}")
        cells = _Cells.of(residuals, length)
        if cells.vintages < LEAST_VINTAGES:
            raise DistributionError(
                f"{cells.vintages} vintages of {length} months say nothing about what a vintage"
                f" shares; {LEAST_VINTAGES} are needed"
            )
        bias, vintage, region, weight = 0.0, _FIRST_SD**2, 0.0, np.ones(cells.vintages)
        for _ in range(_ROUNDS):
            vintage, region, weight = cells.variances(bias, vintage, region)
            bias = cells.bias(weight)
        count = float(weight.sum() ** 2 / (weight**2).sum())
        # Both are spent around an estimated mean.
        spread = count / (count - 1) if count > 1 else 1.0
        error = float(np.sqrt((weight**2 * cells.total_variance(vintage, region, bias)).sum()))
        error /= float(weight.sum())
        return cls(
            vintage_months=length,
            vintages=cells.vintages,
            bias=bias * max(0.0, 1 - error**2 / bias**2) if bias else 0.0,
            bias_sd=error,
            vintage_sd=float(np.sqrt(vintage * spread)),
            region_sd=float(np.sqrt(region)),
            degrees_of_freedom=max(count - 1, 1.0),
        )


@dataclass(frozen=True)
class PackageForecast:
    """Distribution of a package's total net cash; amounts in currency.

    Attributes
    ----------
    forecast_amount : float
        Sum of the loans' forecasts.
    mean_amount : float
        Mean of the distribution: the forecast and the bias of the walk-forward.
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
    mean_amount: float
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
    draws = total * (1 + shared.bias) + _own_noise(rng, ead, forecast, asset_class, distribution)
    sd = shared_sd(expected, vintage, region, shared)
    if sd > 0:
        # The scale itself is an estimate from few vintages: Student's t.
        draws = draws + sd * stats.t.rvs(shared.degrees_of_freedom, size=_DRAWS, random_state=rng)
    tail = (1 - level) / 2
    p10, p50, p90, low, high = np.quantile(draws, [0.1, 0.5, 0.9, tail, 1 - tail]).tolist()
    return PackageForecast(
        forecast_amount=total,
        mean_amount=total * (1 + shared.bias),
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


def shared_sd(expected: Array, vintage: pl.Series, region: pl.Series, shared: SharedRisk) -> float:
    """Standard deviation of what a package's loans share, currency.

    Parameters
    ----------
    expected : array, shape (loans,)
        Forecast cash.
    vintage, region : polars.Series, shape (loans,)
        As in `package_interval`.
    shared : SharedRisk
        Variances.
    """
    sums = (
        pl.DataFrame({"expected": expected, "region": region.cast(pl.String).fill_null("")})
        .with_columns(period=_period(vintage, shared.vintage_months))
        .group_by("period", "region")
        .agg(pl.col("expected").sum())
    )
    by_vintage = sums.group_by("period").agg(pl.col("expected").sum())["expected"].to_numpy()
    variance = (
        shared.bias_sd**2 * by_vintage.sum() ** 2
        + shared.vintage_sd**2 * (by_vintage**2).sum()
        + shared.region_sd**2 * (sums["expected"].to_numpy() ** 2).sum()
    )
    return float(np.sqrt(variance))


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


def _period(vintage: pl.Series, months: int) -> pl.Series:
    """Calendar period of a vintage date; loans without one share period -1."""
    return ((vintage.dt.year() * 12 + vintage.dt.month() - 1) // months).fill_null(-1)


def _length(residuals: pl.DataFrame) -> int:
    for months in _VINTAGE_MONTHS:
        sizes = _period(residuals["vintage_date"], months).value_counts()["count"]
        if float(np.median(sizes.to_numpy())) >= _LOANS_A_VINTAGE:
            return months
    return _VINTAGE_MONTHS[-1]


@dataclass(frozen=True)
class _Cells:
    """Sums of forecast and actual cash by vintage and region, and of their loans' products.

    The sums of squares and products are over loans: a miss is actual - (1 + bias) x forecast.
    """

    vintage: NDArray[np.int64]
    vintages: int
    expected: Array
    actual: Array
    expected_squares: Array
    actual_squares: Array
    products: Array

    @classmethod
    def of(cls, residuals: pl.DataFrame, months: int) -> Self:
        table = (
            residuals.select(
                "region",
                period=_period(residuals["vintage_date"], months),
                expected=pl.col("ead") * pl.col("forecast_rate"),
                actual=pl.col("ead") * pl.col("realised_rate"),
            )
            # A vintage of one loan shares nothing with anyone.
            .filter(pl.len().over("period") > 1)
            .group_by("period", "region")
            .agg(
                pl.col("expected", "actual").sum(),
                expected_squares=(pl.col("expected") ** 2).sum(),
                actual_squares=(pl.col("actual") ** 2).sum(),
                products=(pl.col("expected") * pl.col("actual")).sum(),
            )
            .sort("period", "region")
        )
        periods, vintage = np.unique(table["period"].to_numpy(), return_inverse=True)
        columns = ("expected", "actual", "expected_squares", "actual_squares", "products")
        return cls(vintage, len(periods), *(table[name].to_numpy() for name in columns))

    def _by_vintage(self, values: Array) -> Array:
        return np.bincount(self.vintage, weights=values, minlength=self.vintages)

    def bias(self, weight: Array) -> float:
        """Weighted mean of actual / forecast cash - 1 over the vintages."""
        ratio = self._by_vintage(self.actual) / self._by_vintage(self.expected)
        return float(np.average(ratio, weights=weight)) - 1

    def variances(self, bias: float, vintage: float, region: float) -> tuple[float, float, Array]:
        """One round: variances of the two levels, and the vintages' weights in a mean."""
        miss = self.actual - (1 + bias) * self.expected
        squares = self._own_squares(bias)
        whole, whole_expected = self._by_vintage(miss), self._by_vintage(self.expected)
        precision = 1 / self.total_variance(vintage, region, bias)
        # Pairs of loans in different regions share the vintage alone, pairs in one region both.
        apart = whole**2 - self._by_vintage(miss**2)
        apart_weight = whole_expected**2 - self._by_vintage(self.expected**2)
        within = self._by_vintage(miss**2 - squares)
        within_weight = self._by_vintage(self.expected**2 - self.expected_squares)
        scale = precision**2 / whole_expected**2

        def pooled(products: Array, weights: Array) -> float:
            below = float((scale * weights).sum())
            return float((scale * products).sum()) / below if below > 0 else 0.0

        several = float(apart_weight.sum()) > 1e-9 * float((whole_expected**2).sum())
        together = max(pooled(within, within_weight), 0.0)
        if not several:
            return together, 0.0, precision
        of_vintage = max(pooled(apart, apart_weight), 0.0)
        return of_vintage, max(together - of_vintage, 0.0), precision

    def total_variance(self, vintage: float, region: float, bias: float) -> Array:
        """Variance of each vintage's actual / forecast cash, its loans' own noise included."""
        whole = self._by_vintage(self.expected)
        own = self._by_vintage(self._own_squares(bias))
        shares = self._by_vintage(self.expected**2)
        return np.asarray(vintage + (region * shares + own) / whole**2)

    def _own_squares(self, bias: float) -> Array:
        level = 1 + bias
        return np.asarray(
            self.actual_squares - 2 * level * self.products + level**2 * self.expected_squares
        )
