"""Fitting the development pattern: chain-ladder by segment over loans watched for both horizons."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.development import DevelopmentPattern, development_segments

Array = NDArray[np.float64]
# A thin segment's factors are drawn to those of all loans with the weight of this many.
_POOLING_LOANS: Final = 100.0


def fit_development(
    features: pl.DataFrame, rates: Array, watched_months: Array, horizons_months: tuple[int, ...]
) -> DevelopmentPattern:
    """Shares of the ultimate by horizon, from workouts of every age, open or closed.

    An age-to-age factor is the sum of the rates at the later horizon over that at the earlier, of
    all loans watched for both (Mack 1993, ASTIN Bulletin 23(2), with rates for amounts: a loan
    counts as one, whatever its size). A segment's factors are shrunk to those of all loans with the
    weight of a hundred average loans, and are at least 1, so that no curve falls.

    Parameters
    ----------
    features : polars.DataFrame
        Feature frame.
    rates : array, shape (loans, horizons)
        Cumulative net rates; read only as far as a loan was watched.
    watched_months : array, shape (loans,)
        Months each loan was watched for.
    horizons_months : tuple of int
        Months after the cut-off, rising; for each, some loans were watched that long.
    """
    segments = development_segments(features).to_numpy()
    names = np.unique(segments).tolist()
    shares = {name: np.ones(len(horizons_months)) for name in names}
    overall = np.ones(len(horizons_months))
    for later in range(len(horizons_months) - 1, 0, -1):
        both = watched_months >= horizons_months[later]
        before, after = rates[both, later - 1], rates[both, later]
        together = _still_due(float(before.sum()), float(after.sum()))
        overall[:later] *= together
        # So many average loans, developing as all do, stand beside the segment's own.
        drawn = _POOLING_LOANS * max(float(after.mean()), 0.0)
        for name in names:
            own = segments[both] == name
            shares[name][:later] *= _still_due(
                float(before[own].sum()) + drawn * together, float(after[own].sum()) + drawn
            )
    return DevelopmentPattern(
        horizons_months=horizons_months,
        overall=tuple(overall.tolist()),
        by_segment={name: tuple(share.tolist()) for name, share in shares.items()},
    )


def _still_due(before: float, after: float) -> float:
    """Share that had come by the earlier horizon, 0 to 1: the inverse of the factor."""
    if after <= 0:
        # Nothing has come by the later one either: all of it counts as come.
        return 1.0
    return float(np.clip(before / after, 0.0, 1.0))
