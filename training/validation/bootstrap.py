"""Bootstrap intervals of figures: of functions of sums, fast at any size, and of whole rows."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from training.validation.thin import LEAST_CLUSTERS

Array = NDArray[np.float64]
LEVEL: Final = 0.95
_SEED: Final = 19_790_101
_SAMPLES: Final = 999
# More loans than this are pooled into as many random groups: a group is an independent unit too.
_UNITS: Final = 1_000
# Rows drawn at most for figures that are no sums; beyond, the spread is scaled to the whole.
_ROWS: Final = 20_000
_ROW_SAMPLES: Final = 399


@dataclass(frozen=True)
class Interval:
    """Interval of a figure.

    Attributes
    ----------
    low, high : float, optional
        Ends; missing where there are too few units to tell.
    level : float
        Nominal coverage.
    units : int
        Loans or clusters that were resampled.
    note : str, optional
        Why there is none.
    """

    low: float | None
    high: float | None
    units: int
    level: float = LEVEL
    note: str | None = None


def sums_interval(
    statistic: Callable[..., Any], columns: Array, clusters: NDArray[Any] | None = None
) -> Interval:
    """BCa bootstrap interval of a figure that is a function of sums over loans.

    Efron (1987), Better bootstrap confidence intervals, through `scipy.stats.bootstrap`. Whole
    clusters are drawn where they are given, since loans of a vintage share its luck. More than a
    thousand loans are pooled at random into a thousand groups first (Wolter 2007, ch. 2): the sums
    of independent loans are independent, and the interval is as good.

    Parameters
    ----------
    statistic : callable
        Takes one array of sums a column, of any one shape, and gives the figure in that shape.
    columns : array, shape (loans, columns)
        What is summed.
    clusters : array, shape (loans,), optional
        Cluster of each loan, for example its vintage. Fewer than `LEAST_CLUSTERS` give no interval.

    Returns
    -------
    Interval
        Ends missing where units are too few or all samples give one value.
    """
    units = _unit_sums(columns, clusters)
    least = 2 if clusters is None else LEAST_CLUSTERS
    if len(units) < least:
        kind = "loans" if clusters is None else "clusters"
        note = f"too few: {len(units)} {kind}, {least} are needed"
        return Interval(None, None, len(units), note=note)

    def of_sample(*parts: Array, axis: int = -1) -> Any:
        return statistic(*(part.sum(axis=axis) for part in parts))

    with warnings.catch_warnings():
        # Samples that are all alike are told in the note.
        warnings.simplefilter("ignore", category=stats.DegenerateDataWarning)
        warnings.simplefilter("ignore", category=RuntimeWarning)
        found = stats.bootstrap(
            tuple(units.T),
            of_sample,
            paired=True,
            vectorized=True,
            n_resamples=_SAMPLES,
            confidence_level=LEVEL,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        ).confidence_interval
    if not (np.isfinite(found.low) and np.isfinite(found.high)):
        return Interval(None, None, len(units), note="all samples give one value, or none")
    return Interval(float(found.low), float(found.high), len(units))


def rows_interval(statistic: Callable[..., float | None], *arrays: Array) -> Interval:
    """Percentile bootstrap interval of a figure that needs the loans themselves.

    Above 20,000 loans that many are drawn, and the distances to the figure shrunk by the root of
    the share drawn (the m out of n bootstrap, Bickel, Goetze & van Zwet 1997).

    Parameters
    ----------
    statistic : callable
        Takes the arrays and gives the figure, or None where a sample has none.
    arrays : array, shape (loans,)
        What belongs to a loan is drawn together.
    """
    count = len(arrays[0])
    whole = statistic(*arrays)
    if count < 2 or whole is None:
        return Interval(None, None, count, note=f"{count} loans give no spread to read")
    drawn = min(count, _ROWS)
    rng = np.random.default_rng(_SEED)
    samples = [rng.integers(0, count, drawn) for _ in range(_ROW_SAMPLES)]
    found = [statistic(*(array[rows] for array in arrays)) for rows in samples]
    figures = np.array([figure for figure in found if figure is not None])
    if len(figures) < _ROW_SAMPLES / 2:
        return Interval(None, None, count, note="most samples give no figure")
    shrink = np.sqrt(drawn / count)
    low, high = np.quantile(figures, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(
        float(whole + shrink * (low - whole)), float(whole + shrink * (high - whole)), count
    )


def _unit_sums(columns: Array, clusters: NDArray[Any] | None) -> Array:
    count = len(columns)
    if clusters is not None:
        names, place = np.unique(clusters, return_inverse=True)
        groups = len(names)
    elif count > _UNITS:
        groups = _UNITS
        place = np.random.default_rng(_SEED).permutation(count) % groups
    else:
        return columns
    return np.stack([np.bincount(place, weights=c, minlength=groups) for c in columns.T], axis=1)
