"""The linear part: a ridge on coded features, on the score scale, kept as plain numbers."""

from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from features.spec import FeatureSpec

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
        if self.code == "missing":
            return column.is_null().to_numpy().astype(np.float64)
        if self.code == "level":
            matches = column.cast(pl.String) == self.level
            return matches.fill_null(False).to_numpy().astype(np.float64)
        values = column.cast(pl.Float64).to_numpy()
        ranks = np.interp(values, self.knots, np.linspace(0, 1, len(self.knots)))
        return np.where(np.isnan(values), 0.5, ranks)

    def centred(self, frame: pl.DataFrame) -> Array:
        """Centred and scaled column, shape (loans,)."""
        return (self.coded(frame) - self.mean) / self.scale


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
        for column in self.columns:
            if column.weight != 0.0:
                result[:, place[column.feature]] += column.weight * column.centred(frame)
        return result

    def score(self, frame: pl.DataFrame) -> Array:
        """Score of each loan, shape (loans,)."""
        return self.intercept + sum(
            (c.weight * c.centred(frame) for c in self.columns if c.weight != 0.0),
            start=np.zeros(frame.height),
        )


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
        matrix[:, position] = column.centred(frame)
    return matrix
