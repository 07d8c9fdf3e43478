"""The tree part: LightGBM boosters as text, averaged on the score scale."""

from collections.abc import Sequence
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


@dataclass(frozen=True)
class FeatureMatrix:
    """Feature values as numbers, made once for every part of a model that reads them.

    LightGBM takes columns by place, not by name, and stops the process on Enum columns: both are
    settled here, for training and prediction alike.

    Attributes
    ----------
    names : tuple of str
        Features, the columns of `values`.
    levels : dict of str to tuple of str
        Categories of the features that have any, in the order of their codes.
    values : array, shape (loans, features), C order
        Categories as codes, missing as NaN.
    """

    names: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    values: Array

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        names: Sequence[str],
        levels: dict[str, tuple[str, ...]] | None = None,
    ) -> "FeatureMatrix":
        """Numbers of some columns of a feature frame.

        Parameters
        ----------
        frame : polars.DataFrame
            Feature frame.
        names : sequence of str
            Columns.
        levels : dict of str to tuple of str, optional
            As the attribute, where it is known; else it is read off the frame, which takes longer
            than the rest for one loan.
        """
        if levels is None:
            schema = frame.schema
            levels = {
                name: tuple(dtype.categories.to_list())
                for name in names
                if isinstance(dtype := schema[name], pl.Enum)
            }
        if not names:
            return cls((), {}, np.empty((frame.height, 0)))
        numbers = frame[list(names)].select(pl.all().to_physical()).to_numpy()
        return cls(tuple(names), levels, np.ascontiguousarray(numbers, dtype=np.float64))


def tree_matrix(frame: pl.DataFrame, names: Sequence[str]) -> Array:
    """Feature values as LightGBM reads them; see `FeatureMatrix`.

    Returns
    -------
    array, shape (loans, features), C order
    """
    return FeatureMatrix.of(frame, names).values


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
