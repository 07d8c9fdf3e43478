"""Fitting the time to resolution: a ridge logit on loan-intervals, censored workouts included."""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from features.spec import FeatureSpec
from models.linear import LinearPart, code_columns, design_matrix
from models.resolution import ResolutionModel
from training.errors import TrainingError
from training.linear_fit import evidence_ridge

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
INTERVAL_MONTHS: Final = 3
# The curve ends with the last interval that so many workouts were followed through, open or closed.
LEAST_FOLLOWED: Final = 30
# Baseline logits of neighbouring intervals are drawn together: noise of thin late ones is pooled.
_SMOOTHING: Final = 5.0


def fit_resolution(
    features: pl.DataFrame, spec: FeatureSpec, durations: Array, resolved: Flags, followed: Array
) -> ResolutionModel:
    """Fit the hazard of resolution by quarters after the cut-off.

    A loan gives a row for every interval it was open in, to the end of which it was watched: open
    workouts count for as long as they were watched. The strength of the ridge on the features is
    the one with the largest evidence on those rows (`training.linear_fit.evidence_ridge`).

    Parameters
    ----------
    features : polars.DataFrame
        Feature frame.
    spec : FeatureSpec
        Its specification.
    durations : array, shape (loans,)
        Months to resolution, or months watched where still open.
    resolved : array of bool, shape (loans,)
        Whether the workout resolved.
    followed : array, shape (loans,)
        Months from the cut-off to the day of knowledge, whether it resolved before or not.

    Raises
    ------
    TrainingError
        When fewer than `LEAST_FOLLOWED` workouts were followed through the first interval, none
        resolved in those, or the fit does not converge.
    """
    interval, watched = _intervals(durations, resolved)
    whole = np.sort(followed)[::-1][:LEAST_FOLLOWED] // INTERVAL_MONTHS
    count = int(whole[-1]) if len(whole) == LEAST_FOLLOWED else 0
    if count == 0 or not (resolved & (interval < count)).any():
        raise TrainingError(
            f"{int(resolved.sum())} workouts resolved and {len(durations)} were watched; the time"
            f" to resolution needs {LEAST_FOLLOWED} followed for {INTERVAL_MONTHS} months, and one"
            " that resolved"
        )
    columns = code_columns(features, spec)
    design = design_matrix(features, columns)
    loan = np.repeat(np.arange(len(durations)), np.minimum(watched, count))
    place = np.concatenate([np.arange(n) for n in np.minimum(watched, count)])
    ended = (resolved[loan] & (interval[loan] == place)).astype(np.float64)
    baseline, weights = _fit_rows(design, loan, place, ended, count)
    weighted = [
        column.model_copy(update={"weight": float(value)})
        for column, value in zip(columns, weights, strict=True)
    ]
    return ResolutionModel(
        interval_ends_months=tuple(INTERVAL_MONTHS * (n + 1) for n in range(count)),
        baseline=tuple(map(float, baseline)),
        effects=LinearPart(intercept=0.0, columns=tuple(weighted)),
    )


def _intervals(durations: Array, resolved: Flags) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Interval of the end, and number of intervals at risk, of each loan.

    A workout censored inside an interval is not known to survive it and leaves before it.
    """
    interval = np.maximum(np.ceil(durations / INTERVAL_MONTHS), 1).astype(np.intp) - 1
    whole = (durations // INTERVAL_MONTHS).astype(np.intp)
    return interval, np.where(resolved, interval + 1, whole)


def _fit_rows(
    design: Array,
    loan: NDArray[np.intp],
    place: NDArray[np.intp],
    ended: Array,
    count: int,
) -> tuple[Array, Array]:
    """Baseline logits and weights of the columns, by penalised likelihood."""
    rows = np.column_stack([np.eye(count)[place], design[loan]])
    weight = np.ones(len(ended))
    # Rates of intervals, not of loans: on the logit a row carries mean * (1 - mean) of them.
    mean = float(ended.mean())
    # All may have resolved before the last interval: its hazard is that of its neighbours.
    at_risk = np.maximum(np.bincount(place, minlength=count), 1)
    hazard = np.bincount(place, ended, count) / at_risk
    ridge = evidence_ridge(design[loan], ended - hazard[place], weight) * mean * (1 - mean)
    difference = np.diff(np.eye(count), axis=0)
    penalty = np.zeros((rows.shape[1],) * 2)
    penalty[:count, :count] = _SMOOTHING * difference.T @ difference
    penalty[count:, count:] = ridge * np.eye(design.shape[1])

    def loss(beta: Array) -> tuple[float, Array]:
        score = rows @ beta
        value = float(np.sum(np.logaddexp(0.0, score) - ended * score))
        pulled = penalty @ beta
        gradient = rows.T @ (expit(score) - ended) + pulled
        return (value + 0.5 * float(beta @ pulled)) / len(ended), gradient / len(ended)

    start = np.zeros(rows.shape[1])
    start[:count] = np.log(mean / (1 - mean)) if mean < 1 else 10.0
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10000}
    )
    if not found.success:
        raise TrainingError(f"the time to resolution did not converge: {found.message}")
    return found.x[:count], found.x[count:]
