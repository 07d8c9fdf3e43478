"""The tables of a backtest on disk: parquet, and the long table that corrections are fitted on."""

import json
from pathlib import Path
from typing import Final

import polars as pl

from features.horizons import HORIZONS_MONTHS
from models.backtest_files import PROVENANCE
from training.backtest import Backtest, originals
from training.backtest_loans import actual_column, forecast_column

LONG: Final = "backtest.parquet"
TABLES: Final = (
    "forecasts",
    "packages",
    "folds",
    "funnel",
    "features",
    "baselines",
    "reasons",
)
OWN_FILES: Final = (LONG, PROVENANCE, *(f"{name}.parquet" for name in TABLES))


def write_tables(found: Backtest, folder: Path) -> None:
    """Write every table, the long one of `training.backtest_schema`, and where they come from."""
    for name in TABLES:
        getattr(found, name).write_parquet(folder / f"{name}.parquet")
    long_table(found.forecasts.lazy()).sink_parquet(folder / LONG)
    document = found.provenance | {"headline_months": found.headline_months}
    text = json.dumps(document, ensure_ascii=False, indent=1, default=str)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def long_table(forecasts: pl.LazyFrame) -> pl.LazyFrame:
    """Original walk-forward forecasts as `training.backtest_schema` has them: a row a horizon.

    Parameters
    ----------
    forecasts : polars.LazyFrame
        `training.backtest.Backtest.forecasts`.
    """
    own = originals(forecasts)
    return pl.concat(
        own.filter(pl.col(forecast_column(months)).is_not_null()).select(
            "loan_id",
            "reference_date",
            cut_off_date="vintage_date",
            vintage="vintage_date",
            horizon_months=pl.lit(months, dtype=pl.Int32),
            ead_amount="ead_amount",
            forecast_rate=forecast_column(months),
            actual_rate=actual_column(months),
            asset_class="asset_class",
            region="region",
            months_since_default="months_since_default",
            exposure_band="exposure_band",
            guarantee="guarantee",
            is_resolved="is_resolved",
        )
        for months in (*HORIZONS_MONTHS, None)
    )
