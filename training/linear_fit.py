"""Fitting the linear part: a fractional logit or a regression, with a ridge chosen by evidence."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from models.linear import CodedColumn, LinearPart
from models.link import Link
from training.errors import TrainingError
from training.likelihood import deviance, pull

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
    if total == 0:
        # Labels all alike have nothing to be explained by.
        return float(_LAMBDAS[-1])
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
    share: Array | None = None,
    directions: Mapping[str, int] = MappingProxyType({}),
) -> LinearPart:
    """Ridge fractional logit (Papke & Wooldridge 1996), or ridge regression on the identity link.

    Parameters
    ----------
    columns : tuple of CodedColumn
        Columns of `matrix`, without weights.
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
    share : array, shape (rows,), optional
        Share of the ultimate due in each label; by default all of it.
    directions : mapping of str to int
        Features whose rank may only lower (-1) or only raise (1) the score.

    Raises
    ------
    TrainingError
        When the optimiser does not converge.
    """
    share = np.ones(len(label)) if share is None else share
    mean = float(np.average(label, weights=weight) / np.average(share, weights=weight))
    # On the logit a row carries mean * (1 - mean) of the information it has on the rate itself.
    inside = float(np.clip(mean, 1e-6, 1 - 1e-6))
    penalty = np.full(len(columns) + 1, ridge * (inside * (1 - inside) if link == "logit" else 1.0))
    penalty[-1] = 0.0
    design = np.column_stack([matrix, np.ones(len(matrix))])

    def loss(beta: Array) -> tuple[float, Array]:
        score = design @ beta
        gradient, _ = pull(score, label, share, link)
        value = float(weight @ deviance(score, label, share, link))
        value += 0.5 * float(penalty @ beta**2)
        return value / len(label), (design.T @ (weight * gradient) + penalty * beta) / len(label)

    start = np.zeros(len(columns) + 1)
    start[-1] = mean if link == "identity" else float(logit(inside))
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[*(_bounds(column, directions) for column in columns), (None, None)],
        options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-13, "gtol": 1e-7},
    )
    if not found.success:
        raise TrainingError(f"the linear part did not converge: {found.message}")
    weighted = [
        column.model_copy(update={"weight": float(value)})
        for column, value in zip(columns, found.x[:-1], strict=True)
    ]
    return LinearPart(intercept=float(found.x[-1]), columns=tuple(weighted))


def _bounds(
    column: CodedColumn, directions: Mapping[str, int]
) -> tuple[float | None, float | None]:
    direction = directions.get(column.feature, 0) if column.code == "rank" else 0
    return (0.0 if direction > 0 else None, 0.0 if direction < 0 else None)
