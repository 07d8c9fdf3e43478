"""One feature: a name, what it means, and the expression that makes it from a prepared tape."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from features.portfolio import Direction, FeatureGroup

FeatureKind = Literal["number", "ordered", "category", "flag"]


@dataclass(frozen=True)
class Feature:
    """A canonical feature.

    Attributes
    ----------
    name : str
        Column name in the feature frame.
    group : str
        Factor group under which its contribution is shown.
    kind : {"number", "ordered", "category", "flag"}
        Ordered and category expressions give strings or enums; `ordered` becomes the rank in
        `levels`.
    expression : polars.Expr
        Over the prepared tape of `features.pipeline`; row by row, never across loans. It neither
        divides by a constant nor raises to a power: polars rounds both another way where there is
        only one row, and one loan alone must give the bits it gives among a million.
    meaning_en, meaning_zh : str
        What it says, for the reasons of a forecast.
    unit : str
        Unit of a number: months, days, years, currency, ratio, points.
    levels : tuple of str, optional
        Fixed vocabulary. A category without one takes its vocabulary from the training tape.
    direction : {-1, 0, 1}
        Held by every fit where economics is sure of it; 0 leaves it to the data.
    """

    name: str
    group: FeatureGroup
    kind: FeatureKind
    expression: pl.Expr
    meaning_en: str
    meaning_zh: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    direction: Direction = 0


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Quotient that is missing, not infinite, where the denominator is not positive."""
    return pl.when(denominator > 0).then(numerator / denominator)
