"""Paired comparison of two forecasts on the same loans."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
_SAMPLES: Final = 1_000
_SEED: Final = 19_790_101
# Standard errors beyond which a gain is more than noise.
_BEYOND: Final = 2.0


@dataclass(frozen=True)
class Gain:
    """How much better the second of two forecasts is on a figure.

    Attributes
    ----------
    gain : float
        Above 0: the second is better.
    standard_error : float
        From paired bootstrap samples of the loans.
    """

    gain: float
    standard_error: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the gain exceeds two standard errors."""
        return self.gain > _BEYOND * self.standard_error


def paired_gains(actual: Array, first: Array, second: Array, ead: Array) -> dict[str, Gain]:
    """Gain of the second forecast over the first on RMSE, MAE, rank correlation and deviation.

    Both are judged on the same bootstrap samples (Efron & Tibshirani 1993, ch. 8), so what makes a
    sample easy or hard cancels.

    Parameters
    ----------
    actual, first, second : array, shape (loans,)
        Realised rates and the two forecasts.
    ead : array, shape (loans,)
        Exposures, currency.
    """
    rng = np.random.default_rng(_SEED)
    samples = [rng.integers(0, len(actual), len(actual)) for _ in range(_SAMPLES)]
    gains = {}
    for name, loss in _LOSSES.items():
        if name == "Spearman" and (np.ptp(first) == 0 or np.ptp(second) == 0):
            continue
        differences = [
            loss(actual[rows], first[rows], ead[rows]) - loss(actual[rows], second[rows], ead[rows])
            for rows in samples
        ]
        whole = loss(actual, first, ead) - loss(actual, second, ead)
        gains[name] = Gain(float(whole), float(np.std(differences, ddof=1)))
    return gains


def _rmse(actual: Array, forecast: Array, ead: Array) -> float:
    return float(np.sqrt(np.mean((actual - forecast) ** 2)))


def _mae(actual: Array, forecast: Array, ead: Array) -> float:
    return float(np.mean(np.abs(actual - forecast)))


def _misrank(actual: Array, forecast: Array, ead: Array) -> float:
    return 1 - float(stats.spearmanr(actual, forecast).statistic)


def _deviation(actual: Array, forecast: Array, ead: Array) -> float:
    return float(abs(np.sum((actual - forecast) * ead) / np.sum(forecast * ead)))


_LOSSES: Final[dict[str, Callable[[Array, Array, Array], float]]] = {
    "RMSE": _rmse,
    "MAE": _mae,
    "Spearman": _misrank,
    "deviation": _deviation,
}
