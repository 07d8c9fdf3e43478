"""Fitting the linear part: a fractional logit or a regression, with a ridge chosen by evidence."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from models.linear import CodedColumn, LinearPart
from models.link import Link
from training.errors import TrainingError

Array = NDArray[np.float64]
_LAMBDAS: Final = np.geomspace(1.0, 1e5, 60)


def evidence_ridge(matrix: Array, label: Array, weight: Array) -> float:
    """Ridge strength with the largest marginal likelihood of a Gaussian linear model.

    ``y = a + Zb + e`` with ``e ~ N(0, s2)``, ``b ~ N(0, s2 / ridge)``: the empirical-Bayes choice
    (MacKay 1992, Neural Computation 4), over 60 strengths from 1 to 100,000 rows. A noisy set asks
    for a strong ridge by itself.

    Parameters
    ----------
    matrix : array, shape (rows, columns)
        Centred and scaled design.
    label : array, shape (rows,)
        Recovery rates.
    weight : array, shape (rows,)
        Row weights.
    """
    root = np.sqrt(weight)
    centred = (label - np.average(label, weights=weight)) * root
    design = (matrix - np.average(matrix, axis=0, weights=weight)) * root[:, None]
    # The Gram matrix is small whatever the number of loans.
    values, vectors = np.linalg.eigh(design.T @ design)
    values = np.maximum(values, 0.0)
    energy = (vectors.T @ (design.T @ centred)) ** 2
    total, rows = float(centred @ centred), len(label)
    evidence = [
        -0.5 * rows * np.log(total - float(np.sum(energy / (values + ridge))))
        + 0.5 * float(np.sum(np.log(ridge / (values + ridge))))
        for ridge in _LAMBDAS
    ]
    return float(_LAMBDAS[int(np.argmax(evidence))])


def fit_linear(
    columns: tuple[CodedColumn, ...],
    matrix: Array,
    label: Array,
    weight: Array,
    link: Link,
    ridge: float,
) -> LinearPart:
    """Ridge fractional logit (Papke & Wooldridge 1996), or ridge regression on the identity link.

    Parameters
    ----------
    columns : tuple of CodedColumn
        Columns of `matrix`, without weights. Steps, which carry the horizon, are free of the ridge
        and held at or above zero.
    matrix : array, shape (rows, columns)
        Centred and scaled design.
    label : array, shape (rows,)
        Rates; within [0, 1] for the logit.
    weight : array, shape (rows,)
        Row weights, mean 1.
    link : {"logit", "identity"}
        Scale of the score.
    ridge : float
        Strength in rows, on the scale of the rate.

    Raises
    ------
    TrainingError
        When the optimiser does not converge.
    """
    mean = float(np.average(label, weights=weight))
    steps = np.array([column.code == "step" for column in columns] + [False])
    # On the logit a row carries mean * (1 - mean) of the information it has on the rate itself.
    strength = ridge * (mean * (1 - mean) if link == "logit" else 1.0)
    penalty = np.where(steps, 0.0, strength)
    penalty[-1] = 0.0
    design = np.column_stack([matrix, np.ones(len(matrix))])

    def loss(beta: Array) -> tuple[float, Array]:
        score = design @ beta
        if link == "identity":
            residual = score - label
            value = 0.5 * float(weight @ residual**2)
        else:
            residual = expit(score) - label
            value = float(weight @ (np.logaddexp(0.0, score) - label * score))
        gradient = design.T @ (weight * residual) + penalty * beta
        return (value + 0.5 * float(penalty @ beta**2)) / len(label), gradient / len(label)

    start = np.zeros(len(columns) + 1)
    start[-1] = mean if link == "identity" else float(logit(np.clip(mean, 1e-6, 1 - 1e-6)))
    bounds = [(0.0 if step else None, None) for step in steps]
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-13, "gtol": 1e-7},
    )
    if not found.success:
        raise TrainingError(f"the linear part did not converge: {found.message}")
    weighted = [
        column.model_copy(update={"weight": float(value)})
        for column, value in zip(columns, found.x[:-1], strict=True)
    ]
    return LinearPart(intercept=float(found.x[-1]), columns=tuple(weighted))
