"""Measures of forecasts of a time that may be censored: concordance and the Brier score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.survival import share_resolved

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Weights grow without bound as the chance to be still watched falls; past this the tail is cut off.
_LEAST_WATCHED: Final = 0.02


def harrell_concordance(durations: Array, resolved: Flags, risk: Array) -> float:
    """Share of comparable pairs in which the sooner resolved has the higher risk.

    A pair is comparable when the shorter duration ended in a resolution; equal risks count a half,
    pairs resolved at the same time do not count (Harrell et al. 1982, JAMA 247).

    Parameters
    ----------
    durations : array, shape (loans,)
        Months to resolution, or months watched where still open.
    resolved : array of bool, shape (loans,)
        Whether the workout resolved.
    risk : array, shape (loans,)
        Higher means sooner.

    Returns
    -------
    float
        0 to 1; a half says nothing. NaN where no pair can be compared.
    """
    return _concordance(durations, resolved, risk, np.ones(len(durations)))


def uno_concordance(durations: Array, resolved: Flags, risk: Array, until_months: float) -> float:
    """Concordance that does not depend on how long the workouts were watched.

    Pairs weigh 1 / G(T-)^2, G the Kaplan-Meier law of the censoring and T the shorter duration,
    which must lie before `until_months` (Uno et al. 2011, Statistics in Medicine 30).

    Parameters
    ----------
    durations, resolved, risk : array, shape (loans,)
        As in `harrell_concordance`.
    until_months : float
        Resolutions from then on are not counted.

    Returns
    -------
    float
        0 to 1; NaN where no pair can be compared.
    """
    watched = _still_watched(durations, resolved, durations, before=True)
    counted = resolved & (durations < until_months) & (watched >= _LEAST_WATCHED)
    weight = np.where(counted, 1 / np.maximum(watched, _LEAST_WATCHED) ** 2, 0.0)
    return _concordance(durations, resolved, risk, weight)


def _concordance(durations: Array, resolved: Flags, risk: Array, weight: Array) -> float:
    right = total = 0.0
    for first in np.flatnonzero(resolved & (weight > 0)):
        # Censored at the very time of the resolution: it was open a little longer.
        later = (durations > durations[first]) | ((durations == durations[first]) & ~resolved)
        others = risk[later]
        agree = np.sum(risk[first] > others) + 0.5 * np.sum(risk[first] == others)
        right += weight[first] * float(agree)
        total += weight[first] * len(others)
    return right / total if total else float("nan")


def brier_scores(durations: Array, resolved: Flags, shares: Array, at_months: Array) -> Array:
    """Squared error of the share resolved at each time, censoring weighted out.

    Inverse-probability-of-censoring weights: a workout resolved by t weighs 1 / G(T-), one still
    open at t weighs 1 / G(t), one lost from sight before t nothing (Graf et al. 1999, Statistics in
    Medicine 18).

    Parameters
    ----------
    durations, resolved : array, shape (loans,)
        As in `harrell_concordance`.
    shares : array, shape (loans, times)
        Forecast share resolved by each time.
    at_months : array, shape (times,)
        Times.

    Returns
    -------
    array, shape (times,)

    Raises
    ------
    ValueError
        When hardly any workout was watched as long as the last time.
    """
    at_end = _still_watched(durations, resolved, at_months, before=False)
    if at_end.min() < _LEAST_WATCHED:
        late = float(at_months[int(np.argmin(at_end))])
        raise ValueError(
            f"at most {_LEAST_WATCHED:.0%} of the workouts were watched for {late:g} months;"
            " score shorter times"
        )
    own = np.maximum(_still_watched(durations, resolved, durations, before=True), _LEAST_WATCHED)
    done = resolved[:, None] & (durations[:, None] <= at_months)
    pending = durations[:, None] > at_months
    weight = done / own[:, None] + pending / at_end
    return np.asarray((weight * (done - shares) ** 2).mean(axis=0))


def integrated_brier(durations: Array, resolved: Flags, shares: Array, at_months: Array) -> float:
    """Mean Brier score over the span of `at_months`, by the trapezium rule.

    Parameters are those of `brier_scores`; `at_months` rises and has two or more times.
    """
    scores = brier_scores(durations, resolved, shares, at_months)
    return float(np.trapezoid(scores, at_months) / (at_months[-1] - at_months[0]))


def _still_watched(durations: Array, resolved: Flags, at: Array, *, before: bool) -> Array:
    """Kaplan-Meier chance to be watched at each time, or just before it.

    Here the censoring is the event. A resolution at the same time comes first: it is no longer at
    risk of being lost from sight.
    """
    # Half a step later, so that resolutions of the same time have left the risk set.
    moved = np.where(resolved, durations, durations + _half_step(durations))
    shifted = at if before else at + _half_step(durations)
    return 1 - share_resolved(moved, ~resolved, shifted) if (~resolved).any() else np.ones(len(at))


def _half_step(durations: Array) -> float:
    gaps = np.diff(np.unique(durations))
    return float(gaps.min() / 2) if len(gaps) else 0.5
