"""Deviation by segment: every loan in one level of each dimension, thin ones told, bias flagged."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.validation.deviation import deviation, deviation_test
from training.validation.multiple import FALSE_FLAG_RATE, holm
from training.validation.thin import too_few

NOT_STATED: Final = "not stated"
_SCHEMA: Final = {
    "dimension": pl.String,
    "level": pl.String,
    "loans": pl.Int64,
    "ead_amount": pl.Float64,
    "forecast_amount": pl.Float64,
    "actual_amount": pl.Float64,
    "deviation_rate": pl.Float64,
    "deviation_low": pl.Float64,
    "deviation_high": pl.Float64,
    "difference_rate": pl.Float64,
    "p_value": pl.Float64,
    "corrected_p_value": pl.Float64,
    "flagged": pl.Boolean,
    "note": pl.String,
}


def segment_deviations(
    table: pl.DataFrame, dimensions: Sequence[str], cluster: str | None = None
) -> pl.DataFrame:
    """Deviation rate of every level of every dimension, and which are not like the others.

    Parameters
    ----------
    table : polars.DataFrame
        Rows of one horizon and one reference date a loan: `ead_amount`, `forecast_rate`,
        `actual_rate` (none missing) and the dimensions as text.
    dimensions : sequence of str
        Columns to split by.
    cluster : str, optional
        Column whose values share their luck, for example the vintage.

    Returns
    -------
    polars.DataFrame
        By dimension, largest EAD first: `dimension`, `level` (`not stated` where missing), `loans`,
        `ead_amount`, `forecast_amount`, `actual_amount`, `deviation_rate` with its interval
        (missing where too few), `difference_rate` (from the other loans), `p_value` and
        `corrected_p_value` (Holm, over all segments of all dimensions), `flagged` (at most
        `FALSE_FLAG_RATE` chance of any false flag in the whole table), `note`.
    """
    ead = table["ead_amount"].to_numpy()
    forecast, actual = (ead * table[f"{name}_rate"].to_numpy() for name in ("forecast", "actual"))
    clusters = None if cluster is None else table[cluster].rank("dense").to_numpy()
    rows = []
    for dimension in dimensions:
        levels = table[dimension].cast(pl.String).fill_null(NOT_STATED)
        place = levels.rank("dense").to_numpy()
        for number, level in enumerate(levels.unique().sort(), start=1):
            held = place == number
            row = _row(actual, forecast, held, clusters)
            rows.append(
                {"dimension": dimension, "level": level, "ead_amount": float(ead[held].sum())} | row
            )
    corrected = holm(np.array([np.nan if r["p_value"] is None else r["p_value"] for r in rows]))
    found = pl.DataFrame(rows, schema={n: _SCHEMA[n] for n in _SCHEMA if n not in _DECIDED})
    order = {name: place for place, name in enumerate(dimensions)}
    decided = pl.Series("corrected_p_value", corrected, dtype=pl.Float64).fill_nan(None)
    return (
        found.with_columns(decided)
        .with_columns(flagged=pl.col("corrected_p_value") <= FALSE_FLAG_RATE)
        .with_columns(pl.col("flagged").fill_null(False))
        .sort(
            pl.col("dimension").replace_strict(order, return_dtype=pl.Int64),
            pl.col("ead_amount"),
            pl.col("level"),
            descending=[False, True, False],
        )
        .select(list(_SCHEMA))
    )


_DECIDED: Final = ("corrected_p_value", "flagged")


def _row(
    actual: NDArray[Any], forecast: NDArray[Any], held: NDArray[Any], clusters: NDArray[Any] | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "loans": int(held.sum()),
        "forecast_amount": float(forecast[held].sum()),
        "actual_amount": float(actual[held].sum()),
        "note": too_few(forecast[held]),
    }
    empty = ("deviation_rate", "deviation_low", "deviation_high", "difference_rate", "p_value")
    row |= dict.fromkeys(empty)
    if row["note"] is not None:
        return row
    found = deviation(actual[held], forecast[held], None if clusters is None else clusters[held])
    row |= {
        "deviation_rate": found.rate,
        "deviation_low": found.interval.low,
        "deviation_high": found.interval.high,
        "note": found.interval.note,
    }
    test = deviation_test(actual, forecast, held, clusters)
    if test is not None:
        row |= {"difference_rate": test.difference, "p_value": test.p_value}
    return row
