"""What every source hands over: two tables, their description, and an account of every raw row."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import polars as pl

from features.errors import SourceError
from features.ledger import Ledger
from features.portfolio import ExtraField, PortfolioMeta
from features.tape import tape_dtypes

FAULT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "file": pl.String(),
    "row": pl.Int64(),
    "field": pl.String(),
    "value": pl.String(),
    "rule": pl.String(),
    "mend": pl.String(),
}
ACCOUNT_SCHEMA: Final[dict[str, pl.DataType]] = {"step": pl.String(), "rows": pl.Int64()}


@dataclass(frozen=True)
class SourceResult:
    """A portfolio made from a publisher's file, and how its rows were spent.

    Parameters
    ----------
    meta : PortfolioMeta
        Description of the portfolio.
    tape : polars.DataFrame
        One row a loan at its cut-off date, in the order of the raw file. Not yet checked.
    ledger : polars.DataFrame
        Recoveries; empty where the file does not hold outcomes.
    account : polars.DataFrame
        `step`, `rows`: "read" first, one line for each reason to leave rows out, "kept" last.
    faults : polars.DataFrame
        `file`, `row` (1-based data row of the raw file), `field`, `value`, `rule`, `mend`: values
        that could not be read and stand as null on the tape.
    """

    meta: PortfolioMeta
    tape: pl.DataFrame
    ledger: pl.DataFrame
    account: pl.DataFrame
    faults: pl.DataFrame


def account_of(read: int, left_out: Mapping[str, int], kept: int) -> pl.DataFrame:
    """Write the account of the raw rows; steps without rows are not listed.

    Raises
    ------
    SourceError
        When the rows do not add up: an adapter lost or doubled some.
    """
    if read != kept + sum(left_out.values()):
        raise SourceError(
            f"{read} rows read, but {kept} kept and {sum(left_out.values())} left out: the adapter"
            " lost count; report this file's layout"
        )
    steps = {"read": read} | {step: rows for step, rows in left_out.items() if rows}
    return pl.DataFrame(
        {"step": [*steps, "kept"], "rows": [*steps.values(), kept]}, schema=ACCOUNT_SCHEMA
    )


def conform_tape(frame: pl.DataFrame, extra_fields: tuple[ExtraField, ...]) -> pl.DataFrame:
    """Keep the tape's own columns, canonical ones first, each in its declared type.

    Columns of `frame` that are neither canonical nor declared as extra fields are working columns
    of an adapter and are dropped.
    """
    dtypes = tape_dtypes() | {extra.name: extra.dtype for extra in extra_fields}
    return frame.select(
        pl.col(name).cast(dtype) for name, dtype in dtypes.items() if name in frame.columns
    )


def ledger_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Write a net recovery a loan as ledger rows, a negative one as cost above the gross amount.

    Parameters
    ----------
    rows : polars.DataFrame
        `loan_id`, `period` (date or null), `gross_amount`, `cost_amount` and `recorded_at` (date).
        A negative gross amount is moved to the costs; the net stays what it was.
    """
    gross = pl.col("gross_amount")
    return rows.select(
        pl.col("loan_id"),
        pl.col("period"),
        pl.when(gross > 0).then(gross).otherwise(0.0).alias("gross_amount"),
        pl.lit(None).alias("collateral_amount"),
        (pl.col("cost_amount") + pl.when(gross < 0).then(-gross).otherwise(0.0)).alias(
            "cost_amount"
        ),
        # The publishers do not say which way the money came.
        pl.lit("collection").alias("route"),
        pl.col("recorded_at"),
    ).cast(pl.Schema({name: column.dtype for name, column in Ledger.columns().items()}))


@cache
def no_ledger() -> pl.DataFrame:
    """Return a ledger without rows: no outcome is known."""
    return pl.DataFrame(schema={name: column.dtype for name, column in Ledger.columns().items()})
