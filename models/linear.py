"""The linear part: a ridge on coded features, on the score scale, kept as plain numbers."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.spec import FeatureSpec
from models.trees import FeatureMatrix, tree_matrix

Array = NDArray[np.float64]
_KNOTS: Final = 101
_RANK_OF_MISSING: Final = 0.5


class CodedColumn(BaseModel):
    """One column of the design matrix.

    Numbers enter by their place among the distinct percentiles of the training loans: extreme
    amounts weigh no more than their rank, and nothing runs on past the range that was seen.

    Attributes
    ----------
    feature : str
        Feature it is made from.
    code : {"rank", "missing", "level"}
        `rank` is the place among the knots, 0 to 1, a half where missing; `missing` is 1 where the
        feature is missing; `level` is 1 in that level of a category.
    knots : tuple of float
        The distinct percentiles of a rank, rising.
    level : str
        Level of a category.
    mean, scale : float
        Centre and scale of the coded column, from the training data.
    weight : float
        Coefficient of the centred and scaled column.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str
    code: Literal["rank", "missing", "level"]
    knots: tuple[float, ...] = ()
    level: str = ""
    mean: float = 0.0
    scale: float = 1.0
    weight: float = 0.0

    def coded(self, frame: pl.DataFrame) -> Array:
        """Column before centring, shape (loans,)."""
        column = frame[self.feature]
        if self.code == "level":
            matches = column.cast(pl.String) == self.level
            return matches.fill_null(False).to_numpy().astype(np.float64)
        return self.coded_numbers(tree_matrix(frame, [self.feature])[:, 0])

    def coded_numbers(self, values: Array) -> Array:
        """Column of ranks or of missing values, before centring, from a column of `tree_matrix`."""
        if self.code == "missing":
            return np.isnan(values).astype(np.float64)
        ranks = np.interp(values, *_rank_curve(self.knots))
        return np.where(np.isnan(values), _RANK_OF_MISSING, ranks)

    def centred(self, coded: Array) -> Array:
        """Coded column centred and scaled, shape (loans,)."""
        return (coded - self.mean) / self.scale


class LinearPart(BaseModel):
    """Intercept and coded columns; contributions are centred on the training means.

    With features taken one by one, `weight * (x - mean)` is the exact Shapley value of a linear
    score (Lundberg & Lee 2017, independent features).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    intercept: float
    columns: tuple[CodedColumn, ...]

    def contributions(self, frame: pl.DataFrame, names: list[str]) -> Array:
        """Contribution of each feature to the score.

        Parameters
        ----------
        frame : polars.DataFrame
            Feature frame.
        names : list of str
            Features, the columns of the result.

        Returns
        -------
        array, shape (loans, features)
        """
        return self.effects(FeatureMatrix.of(frame, names))

    def score(self, frame: pl.DataFrame) -> Array:
        """Score of each loan, shape (loans,)."""
        return self.summed(self.effects(FeatureMatrix.of(frame, self._features)))

    def effects(self, matrix: FeatureMatrix) -> Array:
        """Contribution of each feature to the score, shape (loans, features) as in `matrix`.

        Parameters
        ----------
        matrix : FeatureMatrix
            Holds at least the features that bear weight.
        """
        layout = self._layout(matrix)
        found = np.zeros(matrix.values.shape)
        # All columns of a kind at once: numpy takes as long for one as for fifty.
        if layout.ranks.places:
            values = matrix.values[:, layout.ranks.places]
            coded = np.empty_like(values)
            for place, curve in enumerate(layout.curves):
                coded[:, place] = np.interp(values[:, place], *curve)
            coded = np.where(np.isnan(values), _RANK_OF_MISSING, coded)
            found[:, layout.ranks.places] = layout.ranks.weighed(coded)
        if layout.missing.places:
            values = matrix.values[:, layout.missing.places]
            found[:, layout.missing.places] += layout.missing.weighed(
                np.isnan(values).astype(np.float64)
            )
        for place, table in layout.tables:
            # A category says one thing a level: worked out for the levels, not for the loans.
            codes = np.nan_to_num(matrix.values[:, place], nan=len(table) - 1)
            found[:, place] = table[codes.astype(np.intp)]
        return found

    def summed(self, effects: Array) -> Array:
        """Score of each loan from its effects, shape (loans,)."""
        score = np.full(len(effects), self.intercept)
        # One by one, whatever the number of loans: numpy sums one row in another order.
        for effect in effects.T:
            score += effect
        return score

    def __copy__(self) -> Self:
        # `model_copy` gives a copy other columns: what was worked out of these stays behind.
        copied = super().__copy__()
        for name in ("_features", "_layouts"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def _features(self) -> list[str]:
        """Features that bear weight."""
        return list(dict.fromkeys(column.feature for column in self.columns if column.weight))

    @cached_property
    def _layouts(self) -> dict[tuple[object, ...], "_Layout"]:
        return {}

    def _layout(self, matrix: FeatureMatrix) -> "_Layout":
        key = (matrix.names, *matrix.levels.items())
        if key not in self._layouts:
            place = {name: position for position, name in enumerate(matrix.names)}
            borne = [column for column in self.columns if column.weight]
            numbers = [column for column in borne if column.feature not in matrix.levels]
            ranks = [column for column in numbers if column.code == "rank"]
            missing = [column for column in numbers if column.code == "missing"]
            self._layouts[key] = _Layout(
                ranks=_Columns.of(ranks, place),
                curves=[_rank_curve(column.knots) for column in ranks],
                missing=_Columns.of(missing, place),
                tables=[
                    (place[name], _level_effects(name, levels, borne))
                    for name, levels in matrix.levels.items()
                ],
            )
        return self._layouts[key]


# Compared by identity: parts of models are compared with one another, and arrays do not compare.
@dataclass(frozen=True, eq=False)
class _Columns:
    """Coded columns of one kind, at most one a feature: where they stand and what they weigh."""

    places: list[int]
    mean: Array
    scale: Array
    weight: Array

    @classmethod
    def of(cls, columns: list[CodedColumn], place: dict[str, int]) -> "_Columns":
        mean, scale, weight = np.array([[c.mean, c.scale, c.weight] for c in columns]).T.reshape(
            3, len(columns)
        )
        return cls([place[column.feature] for column in columns], mean, scale, weight)

    def weighed(self, coded: Array) -> Array:
        return np.asarray((coded - self.mean) / self.scale * self.weight)


@dataclass(frozen=True, eq=False)
class _Layout:
    """How a linear part reads a matrix: numbers by kind of code, categories by a table of levels.

    The last entry of a table is that of a missing level.
    """

    ranks: _Columns
    curves: list[tuple[Array, Array]]
    missing: _Columns
    tables: list[tuple[int, Array]]


def _level_effects(name: str, levels: tuple[str, ...], columns: list[CodedColumn]) -> Array:
    every = pl.DataFrame({name: [*levels, None]}, schema={name: pl.Enum(levels)})
    total = np.zeros(every.height)
    for column in columns:
        if column.feature == name:
            total += column.centred(column.coded(every)) * column.weight
    return total


@lru_cache(maxsize=4096)
def _rank_curve(knots: tuple[float, ...]) -> tuple[Array, Array]:
    return np.asarray(knots), np.linspace(0, 1, len(knots))


def code_columns(frame: pl.DataFrame, spec: FeatureSpec) -> tuple[CodedColumn, ...]:
    """Columns of the design matrix for a training frame, without weights or constant columns."""
    wanted: list[CodedColumn] = []
    for definition in spec.definitions:
        name = definition.name
        if definition.kind == "category":
            wanted += [CodedColumn(feature=name, code="level", level=v) for v in definition.levels]
        else:
            values = frame[name].drop_nulls().to_numpy()
            percentiles = np.quantile(values, np.linspace(0, 1, _KNOTS)) if len(values) else values
            knots = np.unique(percentiles)
            if len(knots) > 1:
                wanted.append(
                    CodedColumn(feature=name, code="rank", knots=tuple(map(float, knots)))
                )
        if frame[name].null_count():
            wanted.append(CodedColumn(feature=name, code="missing"))
    return _centred(frame, wanted)


def _centred(frame: pl.DataFrame, wanted: list[CodedColumn]) -> tuple[CodedColumn, ...]:
    columns = []
    for column in wanted:
        values = column.coded(frame)
        spread = float(values.std())
        if spread > 0:
            # Indicators keep their own scale, so that the ridge pools thin levels harder.
            scale = spread if column.code == "rank" else 1.0
            columns.append(column.model_copy(update={"mean": float(values.mean()), "scale": scale}))
    return tuple(columns)


def design_matrix(frame: pl.DataFrame, columns: tuple[CodedColumn, ...]) -> Array:
    """Centred and scaled design matrix, shape (loans, columns)."""
    matrix = np.empty((frame.height, len(columns)), order="F")
    for position, column in enumerate(columns):
        matrix[:, position] = column.centred(column.coded(frame))
    return matrix
