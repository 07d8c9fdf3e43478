"""How sure a loan's forecast is: the conformal predictive distribution of its realised rate.

Residuals of forecasts made out of time are put into groups by asset class and, within a class, by
the forecast (Mondrian conformal prediction, Vovk et al. 2005, ch. 4). Where a new loan is
exchangeable with the residuals of its group, the realised rate falls below the p-quantile with
probability p: the quantile is the order statistic of rank p(n + 1), which allows for the size of
the group. Realised rates are spread as they are: nothing is clipped to [0, 1].
"""

from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.errors import ModelsError

Array = NDArray[np.float64]
Rows = slice | NDArray[np.bool_]
# A realised rate up to this counts as nothing.
NOTHING_RATE: Final = 0.005
POOLED: Final = ""
_TAIL_STEPS: Final = 201


class DistributionError(ModelsError):
    """A distribution cannot be fitted on these residuals, or asked this question."""


class RateGroup(BaseModel):
    """The spread of realised rates in one class, by bins of forecast.

    Attributes
    ----------
    loans : tuple of int
        Residuals by bin.
    forecast : tuple of float
        Mean forecast rate of each bin, rising.
    mean : tuple of float
        Mean realised rate by bin, never falling with the forecast.
    deviation_sd : tuple of float
        Standard deviation of realised less forecast rate, by bin.
    nothing : tuple of float
        Share with a realised rate up to `NOTHING_RATE`, never rising with the forecast.
    quantiles : tuple of tuple of float
        Realised rates by bin and probability of the grid, never falling along either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loans: tuple[int, ...]
    forecast: tuple[float, ...]
    mean: tuple[float, ...]
    deviation_sd: tuple[float, ...]
    nothing: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]


class RateDistribution(BaseModel):
    """Predictive distribution of a loan's realised net recovery rate, given its forecast.

    Attributes
    ----------
    horizon_months : int, optional
        Horizon of the rates it was fitted on; None is the ultimate.
    probabilities : tuple of float
        Grid of the quantiles, 0 to 1.
    groups : dict of str to RateGroup
        By asset class; the empty name holds all loans, and serves every class without its own.
    pooled_classes : dict of str to int
        Classes too thin for a group of their own, with their residuals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon_months: int | None
    probabilities: tuple[float, ...]
    groups: dict[str, RateGroup]
    pooled_classes: dict[str, int]

    def quantiles(self, forecast: Array, asset_class: pl.Series, probabilities: Array) -> Array:
        """Quantiles of the realised rate.

        Parameters
        ----------
        forecast : array, shape (loans,)
            Forecast rates at the distribution's horizon.
        asset_class : polars.Series, shape (loans,)
            Asset class; missing or unknown ones take the pooled group.
        probabilities : array, shape (p,)
            0 to 1.

        Returns
        -------
        array, shape (loans, p)
            Never falling along p where `probabilities` rise.

        Raises
        ------
        DistributionError
            When a probability is outside 0 to 1.
        """
        wanted = np.asarray(probabilities, dtype=np.float64)
        if (wanted < 0).any() or (wanted > 1).any():
            raise DistributionError(f"probabilities must be 0 to 1, not {wanted.tolist()}")
        found = np.empty((len(forecast), len(wanted)))
        for group, rows in self._by_group(asset_class):
            # By bin first: a loan's quantiles then lie between those of its neighbouring bins.
            table = [np.interp(wanted, self.probabilities, bin_) for bin_ in group.quantiles]
            for place, column in enumerate(np.array(table).T):
                found[rows, place] = np.interp(forecast[rows], group.forecast, column)
        return found

    def probability_of_nothing(self, forecast: Array, asset_class: pl.Series) -> Array:
        """Probability of a realised rate up to `NOTHING_RATE`, never rising with the forecast."""
        return self._read("nothing", forecast, asset_class)

    def mean(self, forecast: Array, asset_class: pl.Series) -> Array:
        """Mean realised rate of past loans with this forecast, shape (loans,)."""
        return self._read("mean", forecast, asset_class)

    def deviation_sd(self, forecast: Array, asset_class: pl.Series) -> Array:
        """Standard deviation of realised less forecast rate of past loans, shape (loans,)."""
        return self._read("deviation_sd", forecast, asset_class)

    def expected_shortfall(
        self, forecast: Array, asset_class: pl.Series, alpha: float = 0.1
    ) -> Array:
        """Mean realised rate in the worst `alpha` of outcomes, shape (loans,).

        The mean of the quantile function below `alpha` (Acerbi & Tasche 2002).
        """
        if not 0 < alpha <= 1:
            raise DistributionError(f"alpha must be above 0 and up to 1, not {alpha}")
        found = np.empty(len(forecast))
        for name, rows in self._named_rows(asset_class):
            found[rows] = np.interp(
                forecast[rows], self.groups[name].forecast, self._tail_means(name, alpha)
            )
        return found

    def _tail_means(self, name: str, alpha: float) -> list[float]:
        """Mean of the worst `alpha` by bin of a group, worked out once."""
        if (name, alpha) not in self._tails:
            steps = np.linspace(0.0, alpha, _TAIL_STEPS)
            bins = self.groups[name].quantiles
            worst = np.array([np.interp(steps, self.probabilities, bin_) for bin_ in bins])
            self._tails[name, alpha] = (np.trapezoid(worst, steps, axis=1) / alpha).tolist()
        return self._tails[name, alpha]

    @cached_property
    def _tails(self) -> dict[tuple[str, float], list[float]]:
        return {}

    def _read(self, figure: str, forecast: Array, asset_class: pl.Series) -> Array:
        found = np.empty(len(forecast))
        for group, rows in self._by_group(asset_class):
            found[rows] = np.interp(forecast[rows], group.forecast, getattr(group, figure))
        return found

    def _by_group(self, asset_class: pl.Series) -> list[tuple[RateGroup, Rows]]:
        return [(self.groups[name], rows) for name, rows in self._named_rows(asset_class)]

    def _named_rows(self, asset_class: pl.Series) -> list[tuple[str, Rows]]:
        own = [name if name in self.groups else POOLED for name in asset_class.to_list()]
        names = sorted(set(own))
        if len(names) == 1:
            return [(names[0], slice(None))]
        labels = np.array(own)
        return [(name, labels == name) for name in names]
