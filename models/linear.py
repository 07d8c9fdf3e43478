"""The linear part: a ridge on coded features, on the score scale, kept as plain numbers."""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.spec import FeatureSpec
from models.trees import tree_matrix

Array = NDArray[np.float64]
_KNOTS: Final = 101


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
        return np.where(np.isnan(values), 0.5, ranks)

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
        result = np.zeros((frame.height, len(names)))
        place = {name: position for position, name in enumerate(names)}
        for name, effect in self._effects(frame):
            result[:, place[name]] = effect
        return result

    def score(self, frame: pl.DataFrame) -> Array:
        """Score of each loan, shape (loans,)."""
        score = np.full(frame.height, self.intercept)
        for _, effect in self._effects(frame):
            score += effect
        return score

    def __copy__(self) -> Self:
        # `model_copy` gives a copy other columns: what was worked out of these stays behind.
        copied = super().__copy__()
        for name in ("_by_feature", "_of_levels"):
            copied.__dict__.pop(name, None)
        return copied

    @cached_property
    def _by_feature(self) -> dict[str, list[CodedColumn]]:
        found: dict[str, list[CodedColumn]] = {}
        for column in self.columns:
            if column.weight != 0.0:
                found.setdefault(column.feature, []).append(column)
        return found

    @cached_property
    def _of_levels(self) -> dict[tuple[str, tuple[str, ...]], list[float]]:
        return {}

    def _effects(self, frame: pl.DataFrame) -> Iterator[tuple[str, Array]]:
        """Features and their contributions, shape (loans,) each."""
        names = list(self._by_feature)
        matrix, schema = tree_matrix(frame, names), frame.schema
        for name, values in zip(names, matrix.T, strict=True):
            dtype = schema[name]
            if isinstance(dtype, pl.Enum):
                # A category says one thing a level: worked out for the levels, not for the loans.
                table = self._level_effects(name, dtype)
                yield name, table[np.nan_to_num(values, nan=len(table) - 1).astype(np.intp)]
            else:
                coded = [column.coded_numbers(values) for column in self._by_feature[name]]
                yield name, self._summed(name, coded)

    def _level_effects(self, name: str, dtype: pl.Enum) -> Array:
        """Contribution of each level of a category; the last is that of a missing one."""
        levels = tuple(dtype.categories)
        if (name, levels) not in self._of_levels:
            every = pl.DataFrame({name: [*levels, None]}, schema={name: dtype})
            coded = [column.coded(every) for column in self._by_feature[name]]
            self._of_levels[name, levels] = self._summed(name, coded).tolist()
        return np.asarray(self._of_levels[name, levels])

    def _summed(self, name: str, coded: list[Array]) -> Array:
        total = np.zeros(len(coded[0]))
        for column, values in zip(self._by_feature[name], coded, strict=True):
            total += column.weight * column.centred(values)
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
