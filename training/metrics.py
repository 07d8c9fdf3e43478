"""Measures of point forecasts of recovery rates. Formulas as a validation reviewer expects them."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Accuracy:
    """Out-of-time accuracy of one forecast.

    Attributes
    ----------
    loans : int
        Loans judged.
    r2 : float
        1 - squared error over variance around the *judged* loans' own mean; below 0 is worse than
        knowing that mean.
    mae, rmse : float
        In rate points (fraction of EAD), loan-weighted.
    spearman : float
        Rank correlation of forecast and outcome; missing (NaN) for a constant forecast.
    deviation : float
        (actual - forecast) / forecast cash, EAD-weighted (偏差率); negative: forecast too high.
    """

    loans: int
    r2: float
    mae: float
    rmse: float
    spearman: float
    deviation: float

    def as_row(self) -> dict[str, float | int]:
        """The figures as one row of a table."""
        return asdict(self)


def accuracy(actual: Array, forecast: Array, ead: Array) -> Accuracy:
    """Accuracy of forecast recovery rates against realised ones.

    Parameters
    ----------
    actual, forecast : array, shape (loans,)
        Recovery rates, fractions of EAD.
    ead : array, shape (loans,)
        Exposures, currency.

    Raises
    ------
    ValueError
        When fewer than two loans are given, lengths differ, or a value is not finite.
    """
    if not len(actual) == len(forecast) == len(ead) or len(actual) < 2:
        raise ValueError(
            f"accuracy needs two or more loans and equal lengths; got {len(actual)} actual,"
            f" {len(forecast)} forecast, {len(ead)} exposures"
        )
    for name, values in (("actual", actual), ("forecast", forecast), ("ead", ead)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"accuracy needs finite values; {name} has {np.sum(~np.isfinite(values))} others"
            )
    error = actual - forecast
    spread = float(np.sum((actual - actual.mean()) ** 2))
    constant = np.ptp(forecast) < 1e-12 or np.ptp(actual) == 0
    return Accuracy(
        loans=len(actual),
        r2=1 - float(np.sum(error**2)) / spread if spread > 0 else float("nan"),
        mae=float(np.mean(np.abs(error))),
        rmse=float(np.sqrt(np.mean(error**2))),
        spearman=float("nan") if constant else float(stats.spearmanr(actual, forecast).statistic),
        deviation=float(np.sum(error * ead) / np.sum(forecast * ead)),
    )
