"""Workouts that end once: Kaplan-Meier of their duration, and what open cases may bring."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Bands of months to resolution; how much a case brings goes with how long it takes.
_BAND_STARTS_MONTHS: Final = np.array([0, 3, 6, 12, 18, 24, 36])
_RIDGE_FEATURES: Final = 100.0
_RIDGE_BANDS: Final = 5.0


def share_resolved(durations: Array, resolved: Flags, at: Array) -> Array:
    """Share of workouts resolved by each time, from censored workouts.

    Parameters
    ----------
    durations : array, shape (loans,)
        Months to resolution, or months watched where still open.
    resolved : array of bool, shape (loans,)
        Whether the workout resolved.
    at : array, shape (times,)
        Months at which the share is wanted.

    Returns
    -------
    array, shape (times,)
        1 - S(t), S the product-limit estimate of Kaplan & Meier (1958), JASA 53.
    """
    times, lost = _hazards(durations, resolved)
    survival = np.concatenate([[1.0], np.cumprod(1 - lost)])
    return 1 - survival[np.searchsorted(times, at, side="right")]


def _hazards(durations: Array, resolved: Flags) -> tuple[Array, Array]:
    times = np.unique(durations[resolved])
    ordered = np.sort(durations)
    at_risk = len(durations) - np.searchsorted(ordered, times, side="left")
    events = np.array([(resolved & (durations == time)).sum() for time in times])
    return times, events / at_risk


def complete_open(
    design: Array, rates: Array, durations: Array, resolved: Flags
) -> tuple[Array, Array]:
    """Labels and weights for open workouts, so that slow cases count.

    A ridge of the resolved cases' rates on the features and on the band of their duration gives the
    rate at each duration still possible; its mean over the Kaplan-Meier law of the duration, given
    that it exceeds the months already open, is the expected rate of the open case. The case weighs
    the probability that it resolves within the durations observed at all.

    Parameters
    ----------
    design : array, shape (loans, columns)
        Centred features.
    rates : array, shape (loans,)
        Realised rates; read only where resolved.
    durations : array, shape (loans,)
        Months to resolution, or months watched where still open.
    resolved : array of bool, shape (loans,)
        Whether the workout resolved.

    Returns
    -------
    labels, weights : array, shape (loans,)
        The realised rate with weight 1 where resolved, else the expected rate and its weight.
    """
    times, lost = _hazards(durations, resolved)
    survival = np.concatenate([[1.0], np.cumprod(1 - lost)])
    mass = survival[:-1] - survival[1:]
    bands = np.eye(len(_BAND_STARTS_MONTHS))
    matrix = np.column_stack([np.ones(len(design)), design])[resolved]
    matrix = np.hstack([matrix, bands[_band(durations[resolved])]])
    penalty = np.concatenate(
        [[1e-8], np.full(design.shape[1], _RIDGE_FEATURES), np.full(len(bands), _RIDGE_BANDS)]
    )
    beta = np.linalg.solve(matrix.T @ matrix + np.diag(penalty), matrix.T @ rates[resolved])
    own = beta[0] + design @ beta[1 : 1 + design.shape[1]]
    by_time = beta[1 + design.shape[1] :][_band(times)]
    # Suffix sums give the law of the duration beyond any time already waited.
    place = np.searchsorted(times, durations, side="right")
    ahead = np.append(np.cumsum(mass[::-1])[::-1], 0.0)[place]
    worth = np.append(np.cumsum((mass * by_time)[::-1])[::-1], 0.0)[place]
    possible = ahead > 0
    expected = own + np.where(possible, worth / np.where(possible, ahead, 1.0), 0.0)
    return (
        np.where(resolved, rates, expected),
        np.where(resolved, 1.0, ahead / np.maximum(survival[place], 1e-12)),
    )


def _band(months: Array) -> NDArray[np.intp]:
    return np.searchsorted(_BAND_STARTS_MONTHS, months, side="right") - 1
