"""A table cut into calendar months, so that one month at a time is held in memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from features.store import UNDATED

_MONTH: Final = "__month"


def month_name(column: pl.Expr) -> pl.Expr:
    """Name of a date's month, such as `2024-03`; `undated` where it is missing."""
    return column.dt.strftime("%Y-%m").fill_null(UNDATED)


def by_month(
    table: pl.LazyFrame, date_column: str, scratch: Path
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows of each month in their order, the months in theirs.

    The table is read once and streamed into files under `scratch`, which is removed at the end.
    """
    try:
        table.with_columns(month_name(pl.col(date_column)).alias(_MONTH)).sink_parquet(
            pl.PartitionBy(scratch, key=_MONTH, include_key=False), mkdir=True
        )
        for folder in sorted(scratch.glob(f"{_MONTH}=*")):
            files = sorted(folder.glob("*.parquet"))
            yield folder.name.partition("=")[2], pl.read_parquet(files, hive_partitioning=False)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_month(rows: pl.DataFrame, folder: Path, month: str) -> None:
    """Write the rows of a month, if there are any."""
    if rows.height:
        folder.mkdir(exist_ok=True)
        rows.write_parquet(folder / f"{month}.parquet")
