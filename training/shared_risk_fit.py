"""Fitting what the loans of a package share: variances by the method of moments.

Products of two different loans' misses have no part of either loan's own noise in their mean, only
what the two share (Searle, Casella & McCulloch 1992, Variance Components, ch. 5).
"""

from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.package_distribution import SharedRisk, vintage_period, vintage_regions
from training.errors import TrainingError

Array = NDArray[np.float64]
LEAST_VINTAGES: Final = 3
_VINTAGE_MONTHS: Final[tuple[Literal[3, 6, 12], ...]] = (3, 6, 12)
# The shortest vintage with this many loans in the median: thinner ones are mostly noise.
_LOANS_A_VINTAGE: Final = 100
_ROUNDS: Final = 20
# A first guess of the shared standard deviation; the rounds forget it.
_FIRST_SD: Final = 0.1


def fit_shared_risk(
    residuals: pl.DataFrame, vintage_months: Literal[3, 6, 12] | None = None
) -> SharedRisk:
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
    TrainingError
        When there are fewer than `LEAST_VINTAGES` vintages, or nothing was forecast.
    """
    length = vintage_months or _length(residuals)
    cells = _Cells.of(residuals, length)
    if cells.vintages < LEAST_VINTAGES:
        raise TrainingError(
            f"{cells.vintages} vintages of {length} months say nothing about what a vintage"
            f" shares; {LEAST_VINTAGES} are needed"
        )
    vintage, region = _FIRST_SD**2, 0.0
    for _ in range(_ROUNDS):
        vintage, region = cells.variances(vintage, region)
    return SharedRisk(
        vintage_months=length,
        vintages=cells.vintages,
        vintage_sd=float(np.sqrt(vintage)),
        region_sd=float(np.sqrt(region)),
    )


def _length(residuals: pl.DataFrame) -> Literal[3, 6, 12]:
    for months in _VINTAGE_MONTHS:
        sizes = vintage_period(residuals["vintage_date"], months).value_counts()["count"]
        if float(np.median(sizes.to_numpy())) >= _LOANS_A_VINTAGE:
            return months
    return _VINTAGE_MONTHS[-1]


@dataclass(frozen=True)
class _Cells:
    """Forecast cash and miss (actual - forecast) by vintage and region, and squares over loans."""

    vintage: NDArray[np.intp]
    vintages: int
    expected: Array
    miss: Array
    expected_squares: Array
    miss_squares: Array

    @classmethod
    def of(cls, residuals: pl.DataFrame, months: int) -> Self:
        period = vintage_period(residuals["vintage_date"], months)
        expected = residuals["ead"] * residuals["forecast_rate"]
        told = residuals.with_columns(period=period, expected=expected).filter(
            # A vintage of one loan shares nothing with anyone; one without cash has no ratio.
            pl.len().over("period") > 1,
            pl.col("expected").sum().over("period") > 0,
        )
        of_vintage, of_cell = vintage_regions(told["vintage_date"], told["region"], months)
        cash = told["expected"].to_numpy()
        miss = told["ead"].to_numpy() * told["realised_rate"].to_numpy() - cash
        # The cell's vintage is that of any of its loans.
        first = np.unique(of_cell, return_index=True)[1]
        # Summed loan after loan: threads that share a sum round it another way each time.
        sums: list[Array] = [
            np.bincount(of_cell, values).astype(np.float64)
            for values in (cash, miss, cash**2, miss**2)
        ]
        return cls(of_vintage[first], len(np.unique(of_vintage)), *sums)

    def _by_vintage(self, values: Array) -> Array:
        sums = np.zeros(self.vintages)
        np.add.at(sums, self.vintage, values)
        return sums

    def variances(self, vintage: float, region: float) -> tuple[float, float]:
        """One round: variances of the two levels, each vintage weighed by its precision."""
        whole, expected = self._by_vintage(self.miss), self._by_vintage(self.expected)
        # Pairs of loans in different regions share the vintage alone, pairs in one region both.
        apart = whole**2 - self._by_vintage(self.miss**2)
        apart_weight = expected**2 - self._by_vintage(self.expected**2)
        within = self._by_vintage(self.miss**2 - self.miss_squares)
        within_weight = self._by_vintage(self.expected**2 - self.expected_squares)
        own = self._by_vintage(self.miss_squares) + region * self._by_vintage(self.expected**2)
        scale = 1 / ((vintage + own / expected**2) * expected) ** 2

        def pooled(products: Array, weights: Array) -> float:
            below = float((scale * weights).sum())
            return float((scale * products).sum()) / below if below > 0 else 0.0

        together = max(pooled(within, within_weight), 0.0)
        if float(apart_weight.sum()) <= 1e-9 * float((expected**2).sum()):
            # One region: what it adds to the vintage cannot be told apart.
            return together, 0.0
        of_vintage = max(pooled(apart, apart_weight), 0.0)
        return of_vintage, max(together - of_vintage, 0.0)
