"""The tree part: LightGBM boosters as text, averaged on the score scale."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.tree_shap import TABLE_BUDGET_BYTES, tables_within, tree_contributions
from models.tree_tables import Tables

Array = NDArray[np.float64]


def tree_matrix(frame: pl.DataFrame, names: list[str]) -> Array:
    """Feature values as LightGBM reads them: categories as codes, missing as NaN.

    LightGBM takes columns by place, not by name, and stops the process on Enum columns: both are
    settled here, for training and prediction alike.

    Returns
    -------
    array, shape (loans, features), C order
    """
    schema = frame.schema
    columns = [
        pl.col(name).to_physical() if isinstance(schema[name], pl.Enum) else pl.col(name)
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

    @cached_property
    def tables(self) -> Tables | None:
        """Pattern tables of all trees; None where they would pass `TABLE_BUDGET_BYTES`."""
        return tables_within(self.texts, TABLE_BUDGET_BYTES)

    @property
    def explained_by(self) -> Literal["tables", "pred_contrib"]:
        """What works the contributions out: our pattern tables, or LightGBM where they are too big.

        Both are exact path-dependent TreeSHAP; LightGBM's takes some fifty times as long.
        """
        return "pred_contrib" if self.tables is None else "tables"

    def contributions(self, matrix: Array) -> Array:
        """Mean TreeSHAP contributions, shape (loans, features + 1); the last is the base.

        Path-dependent, exact and additive; see `models.tree_tables`.

        Parameters
        ----------
        matrix : array, shape (loans, features), C order
            From `tree_matrix`.
        """
        if self.tables is not None:
            return tree_contributions(self.tables, matrix) / len(self.texts)
        total = np.zeros((len(matrix), matrix.shape[1] + 1))
        # LightGBM divides by the number of rows.
        if len(matrix):
            for booster in self.boosters:
                total += np.asarray(booster.predict(matrix, pred_contrib=True))
        return total / len(self.texts)
