"""The tree part: LightGBM boosters as text, averaged on the score scale."""

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]


def tree_matrix(frame: pl.DataFrame, names: list[str]) -> Array:
    """Feature values as LightGBM reads them: categories as codes, missing as NaN.

    LightGBM takes columns by place, not by name, and stops the process on Enum columns: both are
    settled here, for training and prediction alike.

    Returns
    -------
    array, shape (loans, features), C order
    """
    columns = [
        pl.col(name).to_physical() if frame.schema[name] == pl.Enum else pl.col(name)
        for name in names
    ]
    numbers = frame.select(column.cast(pl.Float64) for column in columns)
    return np.ascontiguousarray(numbers.to_numpy())


@dataclass(frozen=True)
class TreePart:
    """Boosters whose raw scores are averaged.

    Attributes
    ----------
    texts : tuple of str
        LightGBM model texts.
    """

    texts: tuple[str, ...]

    @cached_property
    def boosters(self) -> tuple[lgb.Booster, ...]:
        """The boosters, read from their texts."""
        return tuple(lgb.Booster(model_str=text) for text in self.texts)

    def score(self, matrix: Array) -> Array:
        """Mean raw score, shape (loans,)."""
        total = np.zeros(len(matrix))
        for booster in self.boosters:
            total += np.asarray(booster.predict(matrix, raw_score=True))
        return total / len(self.boosters)

    def contributions(self, matrix: Array) -> Array:
        """Mean TreeSHAP contributions, shape (loans, features + 1); the last is the base.

        LightGBM's own path-dependent TreeSHAP (`pred_contrib`), exact and additive.
        """
        total = np.zeros((len(matrix), matrix.shape[1] + 1))
        if not len(matrix):
            # LightGBM divides by the number of rows.
            return total
        for booster in self.boosters:
            total += np.asarray(booster.predict(matrix, pred_contrib=True))
        return total / len(self.boosters)
