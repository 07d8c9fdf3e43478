"""Forecast cash against actual cash of a group of loans: the row that every table is made of."""

from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from training.report.part import Light, Part, Thresholds
from training.validation.deviation import deviation
from training.validation.thin import LEAST_CLUSTERS, too_few

# Whole cents add up exactly.
CENTS: Final = (pl.col("ead_amount") * 100).round().cast(pl.Int64).sum()
IntervalBy = Literal["month", "loan"]


class Cash(Part):
    """Forecast and actual cash of a group, with the deviation between them."""

    loans: int
    ead_amount: float
    forecast_amount: float
    actual_amount: float
    deviation_rate: float | None = Field(
        description="(actual - forecast) / forecast; below 0: the forecast was too high. Missing"
        " where the group is too thin or nothing was forecast."
    )
    low_rate: float | None = Field(description="Lower end of its 95% bootstrap interval.")
    high_rate: float | None = Field(description="Upper end of its 95% bootstrap interval.")
    interval_by: IntervalBy | None = Field(description="What the bootstrap drew.")
    light: Light | None
    thin: bool = Field(description="Too few loans, or too little money behind them, for a rate.")


def cash(pairs: pl.DataFrame, thresholds: Thresholds) -> Cash:
    """Cash of a group of pairs.

    Parameters
    ----------
    pairs : polars.DataFrame
        From `Subject.pairs`.
    thresholds : Thresholds
        For the light.
    """
    actual, forecast = pairs["actual_amount"].to_numpy(), pairs["forecast_amount"].to_numpy()
    held: dict[str, Any] = {
        "loans": pairs.height,
        "ead_amount": exact_amount(pairs),
        "forecast_amount": float(forecast.sum()),
        "actual_amount": float(actual.sum()),
    }
    if too_few(forecast) is not None:
        nothing = ("deviation_rate", "low_rate", "high_rate", "interval_by", "light")
        return Cash.model_validate(held | dict.fromkeys(nothing) | {"thin": True})
    by, clusters = clusters_of(pairs)
    found = deviation(actual, forecast, clusters)
    return Cash(
        **held,
        deviation_rate=found.rate,
        low_rate=found.interval.low,
        high_rate=found.interval.high,
        interval_by=by,
        light=thresholds.deviation_light(found.rate),
        thin=False,
    )


def exact_amount(loans: pl.DataFrame) -> float:
    """EAD of loans, each rounded to the cent, so that any order of adding gives the same."""
    return float(loans.select(CENTS).item()) / 100


def clusters_of(pairs: pl.DataFrame) -> tuple[IntervalBy, NDArray[np.int64] | None]:
    """Months of vintage, which a bootstrap draws whole, or the loans by themselves.

    Loans of a vintage share its luck. A group of fewer vintages than a bootstrap can use counts its
    loans as independent, and says so: its interval is too narrow rather than absent.
    """
    if pairs["vintage_month"].null_count() or pairs["vintage_month"].n_unique() < LEAST_CLUSTERS:
        return "loan", None
    return "month", pairs["vintage_month"].to_numpy()
