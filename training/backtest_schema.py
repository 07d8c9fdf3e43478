"""The table of a backtest: forecasts of the past beside what came of them."""

import hashlib
from pathlib import Path

import dataframely as dy
import polars as pl

from features.segments import age_band
from training.errors import TrainingError


class Backtest(dy.Schema):
    """Forecasts and outcomes: one row a loan, reference date and horizon.

    A null `horizon_months` is the ultimate. A null `actual_rate` was not known when the table was
    made. Rates are net and cumulative after the reference date, as fractions of `ead_amount`, and
    may leave [0, 1]. Segments are those of `features.segments`, a null one is not stated.
    """

    loan_id = dy.String(nullable=False)
    reference_date = dy.Date(nullable=False)
    cut_off_date = dy.Date(nullable=False)
    vintage = dy.Date(nullable=False)
    horizon_months = dy.Int32(nullable=True, min_exclusive=0)
    ead_amount = dy.Float64(nullable=False, min_exclusive=0)
    forecast_rate = dy.Float64(nullable=False, allow_inf=False, allow_nan=False)
    actual_rate = dy.Float64(nullable=True, allow_inf=False, allow_nan=False)
    asset_class = dy.String(nullable=True)
    region = dy.String(nullable=True)
    months_since_default = dy.Float64(nullable=True)
    exposure_band = dy.String(nullable=True)
    guarantee = dy.String(nullable=True)
    is_resolved = dy.Bool(nullable=False)

    @dy.rule()
    def one_row_a_loan_date_and_horizon(cls) -> pl.Expr:  # noqa: N805
        """A forecast is held against its outcome once."""
        return pl.struct("loan_id", "reference_date", "horizon_months").is_unique()


def check_backtest(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Rows of a backtest in the types of the schema; other columns are left out.

    Raises
    ------
    TrainingError
        Naming the columns that are missing, or the rules that are broken and how often.
    """
    missing = [column for column in Backtest.columns() if column not in frame.columns]
    if missing:
        raise TrainingError(f"{name}: no columns {', '.join(missing)}; write it with npl backtest")
    try:
        found = Backtest.filter(frame.select(list(Backtest.columns())), cast=True)
    except (pl.exceptions.PolarsError, dy.exc.SchemaError) as error:
        raise TrainingError(f"{name}: {str(error).splitlines()[0]}") from error
    broken = found.failure.counts()
    if broken:
        told = ", ".join(f"{rule} ({rows:,} rows)" for rule, rows in sorted(broken.items()))
        raise TrainingError(f"{name}: not the table of a backtest: {told}")
    return found.result


def read_backtest(path: Path) -> tuple[pl.DataFrame, str]:
    """Table of a backtest and the SHA-256 of its file.

    Raises
    ------
    TrainingError
        When it cannot be read or is no table of a backtest.
    """
    try:
        frame = pl.read_parquet(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"{path}: not a readable parquet file ({first})") from error
    return check_backtest(frame, str(path)), digest


def with_age_band(table: pl.DataFrame) -> pl.DataFrame:
    """Table of a backtest with `age_band`, the one dimension it holds as a number."""
    return table.with_columns(age_band=age_band(pl.col("months_since_default")))
