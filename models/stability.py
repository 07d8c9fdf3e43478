"""How far a package is from what the model learnt: the population stability index by feature.

PSI = sum (p2 - p1) ln(p2 / p1) over classes, p1 the share in training and p2 in the package; 0.10
and 0.25 are the usual marks (practice, no rule). The training shares are those the linear part
keeps: of every level of a category, and of the distinct percentiles of a number.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.linear import CodedColumn
from models.recovery import RecoveryModel

Array = NDArray[np.float64]
AMBER, RED = 0.10, 0.25
_CLASSES: Final = 10
# An empty class counts as this share: the logarithm needs something.
_LEAST: Final = 1e-4


def stability(features: pl.DataFrame, model: RecoveryModel) -> pl.DataFrame:
    """Stability index of each feature whose training distribution the model keeps.

    Parameters
    ----------
    features : polars.DataFrame
        Features of the package's loans.
    model : RecoveryModel
        The model.

    Returns
    -------
    polars.DataFrame
        `feature`, `psi`, `light` (green, amber, red), the largest first. Left out are numbers with
        fewer than a hundred distinct percentiles: their ties hide the training shares.
    """
    known: dict[str, list[CodedColumn]] = {}
    for column in model.linear.columns:
        known.setdefault(column.feature, []).append(column)
    rows = []
    for name, columns in known.items():
        shares = _shares(features[name], columns)
        if shares is not None:
            psi = stability_index(*shares)
            rows.append((name, psi, "red" if psi > RED else "amber" if psi > AMBER else "green"))
    table = pl.DataFrame(rows, schema=["feature", "psi", "light"], orient="row")
    return table.cast({"psi": pl.Float64}).sort("psi", "feature", descending=[True, False])


def stability_index(trained: Array, found: Array) -> float:
    """PSI of two distributions over the same classes.

    Examples
    --------
    >>> round(stability_index(np.array([0.5, 0.5]), np.array([0.6, 0.4])), 4)
    0.0405
    """
    before, after = np.maximum(trained, _LEAST), np.maximum(found, _LEAST)
    return float(((after - before) * np.log(after / before)).sum())


def _shares(values: pl.Series, columns: list[CodedColumn]) -> tuple[Array, Array] | None:
    missing = sum(column.mean for column in columns if column.code == "missing")
    found_missing = values.null_count() / max(len(values), 1)
    levels = {column.level: column.mean for column in columns if column.code == "level"}
    if levels:
        counted = values.drop_nulls().cast(pl.String)
        shares = [float((counted == level).sum()) / max(len(values), 1) for level in levels]
        return np.array([*levels.values(), missing]), np.array([*shares, found_missing])
    knots = next((column.knots for column in columns if column.code == "rank"), ())
    if len(knots) <= 100:
        return None
    edges = np.array(knots)[_CLASSES:-1:_CLASSES]
    classes = np.searchsorted(edges, values.drop_nulls().to_numpy(), side="right")
    counts = np.bincount(classes, minlength=_CLASSES) / max(len(values), 1)
    trained = np.full(_CLASSES, (1 - missing) / _CLASSES)
    return np.append(trained, missing), np.append(counts, found_missing)
