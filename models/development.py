"""When dated cash comes: the share of a loan's ultimate paid by each horizon, by segment."""

from itertools import pairwise
from typing import Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from features.tape import LEGAL_STAGES

Array = NDArray[np.float64]
_JUDGED: Final = LEGAL_STAGES[LEGAL_STAGES.index("judged") :]


class DevelopmentPattern(BaseModel):
    """Cumulative development of net cash after the cut-off, as shares of the ultimate.

    Attributes
    ----------
    horizons_months : tuple of int
        Months after the cut-off, rising. The last one is what the ultimate means here.
    overall : tuple of float
        Share paid by each horizon in all segments together, for a segment not seen in training.
    by_segment : dict of str to tuple of float
        The same by segment; see `development_segments`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["development"] = "development"
    horizons_months: tuple[int, ...]
    overall: tuple[float, ...]
    by_segment: dict[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, shares in {"all segments": self.overall, **self.by_segment}.items():
            rises = all(later >= earlier for earlier, later in pairwise((0.0, *shares)))
            if len(shares) != len(self.horizons_months) or not rises or shares[-1] != 1.0:
                raise ValueError(
                    f"shares of {name} must rise from 0 to 1 over {len(self.horizons_months)}"
                    f" horizons, not {shares}"
                )
        return self

    @property
    def ultimate_months(self) -> int:
        """Months after the cut-off that count as the whole workout."""
        return self.horizons_months[-1]

    def shares(self, features: pl.DataFrame) -> Array:
        """Share of the ultimate paid by each horizon, never falling, shape (loans, horizons)."""
        segments = development_segments(features)
        found = np.tile(np.asarray(self.overall), (features.height, 1))
        for name in segments.unique():
            if name in self.by_segment:
                found[(segments == name).to_numpy()] = self.by_segment[name]
        return found


def development_segments(features: pl.DataFrame) -> pl.Series:
    """Segment by which cash develops: asset class, secured or not, judged or not.

    What a portfolio does not carry does not divide it.

    Examples
    --------
    >>> frame = pl.DataFrame({"asset_class": ["card", "mortgage"], "appraised_value": [None, 1e6]})
    >>> development_segments(frame).to_list()
    ['card', 'mortgage/secured']
    """
    parts = [pl.lit("")]
    if "asset_class" in features.columns:
        parts = [pl.col("asset_class").cast(pl.String).fill_null("")]
    if "appraised_value" in features.columns:
        parts.append(_mark(pl.col("appraised_value").is_not_null(), "/secured"))
    if "legal_stage" in features.columns:
        judged = pl.col("legal_stage").cast(pl.String).is_in(_JUDGED)
        parts.append(_mark(judged.fill_null(False), "/judged"))
    return features.select(
        pl.concat_str(pl.repeat("", pl.len()), *parts).alias("segment")
    ).to_series()


def _mark(holds: pl.Expr, text: str) -> pl.Expr:
    return pl.when(holds).then(pl.lit(text)).otherwise(pl.lit(""))
