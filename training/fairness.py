"""Whether a model does alike by people and places: held-out misses by age band and region."""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.dataset import TrainingSet

Array = NDArray[np.float64]
# A thinner level says more about its few loans than about the model.
LEAST_LOANS: Final = 50
_AGE_BREAKS: Final = (30, 40, 50, 60)
_AGE_BANDS: Final = ("under 30", "30 to 39", "40 to 49", "50 to 59", "60 and over")


def fairness_rows(judged: TrainingSet, forecast: Array, actual: Array) -> list[dict[str, Any]]:
    """Mean forecast and realised rates of held-out loans by the borrower's age band and region.

    Parameters
    ----------
    judged : TrainingSet
        Held-out loans with a known rate.
    forecast, actual : array, shape (loans,)
        Forecast and realised rates.

    Returns
    -------
    list of dict
        `dimension` (borrower_age, region), `level`, `loans`, `forecast_rate`, `actual_rate`,
        `difference` (actual less forecast, rate points), `standard_error` of it. Levels under
        `LEAST_LOANS` loans stand together, and loans without the field have a level of their own.
        Dimensions the portfolio does not carry are left out.
    """
    rates = pl.DataFrame({"forecast": forecast, "actual": actual})
    rows = []
    for dimension, levels in _dimensions(judged).items():
        table = rates.with_columns(level=levels)
        size = pl.len().over("level")
        table = table.with_columns(
            level=pl.when(size >= LEAST_LOANS).then("level").otherwise(pl.lit("thin levels"))
        )
        miss = pl.col("actual") - pl.col("forecast")
        told = (
            table.group_by("level")
            .agg(
                loans=pl.len(),
                forecast_rate=pl.col("forecast").mean(),
                actual_rate=pl.col("actual").mean(),
                difference=miss.mean(),
                standard_error=miss.std() / pl.len().sqrt(),
            )
            .sort("level")
        )
        rows += [{"dimension": dimension, **row} for row in told.iter_rows(named=True)]
    return rows


def _dimensions(judged: TrainingSet) -> dict[str, pl.Series]:
    features, found = judged.features, {}
    if "borrower_age_years" in features.columns:
        age = features["borrower_age_years"].to_numpy()
        band = np.array(_AGE_BANDS)[np.searchsorted(_AGE_BREAKS, age, side="right")]
        found["borrower_age"] = pl.Series(np.where(np.isnan(age), "not stated", band))
    if "region" in features.columns:
        found["region"] = features["region"].cast(pl.String).fill_null("not stated")
    return found
