"""Reading the raw columns of a source, with an account of every value that could not be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from features.sources.parsing import Parse, date, number, text
from features.sources.raw import ROW
from features.sources.result import FAULT_SCHEMA


@dataclass(frozen=True)
class Field:
    """How one column is read.

    Parameters
    ----------
    name : str
        Name of the typed column; also the raw column's name unless `column` says otherwise.
    parse : callable
        Expression of the text to typed expression.
    rule, mend : str
        What a value must look like, and what to do about one that does not.
    column : str, optional
        Name of the raw column.
    """

    name: str
    parse: Parse
    rule: str
    mend: str
    column: str = ""

    @property
    def source(self) -> str:
        """Name of the raw column."""
        return self.column or self.name


def read_fields(
    frame: pl.DataFrame, fields: Sequence[Field], file: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read raw columns into typed ones.

    Parameters
    ----------
    frame : polars.DataFrame
        Raw columns and `raw_row`. A field whose raw column is absent becomes a column of nulls.
    fields : sequence of Field
        What to read; the names must differ.
    file : str
        File name for the faults.

    Returns
    -------
    typed : polars.DataFrame
        `raw_row` and one column a field.
    faults : polars.DataFrame
        One row for each value that was there and could not be read, ordered by row.
    """
    present = [field for field in fields if field.source in frame.columns]
    written = frame.select(
        ROW, *(_written(frame, field.source).alias(field.name) for field in present)
    )
    typed = written.select(
        ROW,
        *(
            field.parse(
                pl.col(field.name) if field in present else pl.lit(None, dtype=pl.String)
            ).alias(field.name)
            for field in fields
        ),
    )
    faults = [pl.DataFrame(schema=FAULT_SCHEMA)]
    for field in present:
        unread = typed[field.name].is_null() & written[field.name].is_not_null()
        if unread.any():
            faults.append(_faults_of(written.filter(unread), field, file))
    return typed, pl.concat(faults).sort("row", maintain_order=True)


def _written(frame: pl.DataFrame, column: str) -> pl.Expr:
    """Bring a raw column to text; typed numbers need no trimming."""
    if frame[column].dtype.is_numeric():
        value = pl.col(column)
        known = value.is_not_nan() if frame[column].dtype.is_float() else value.is_not_null()
        return pl.when(known).then(value.cast(pl.String))
    return text(column)


def _faults_of(rows: pl.DataFrame, field: Field, file: str) -> pl.DataFrame:
    return rows.select(
        pl.lit(file).alias("file"),
        pl.col(ROW).cast(pl.Int64).alias("row"),
        pl.lit(field.source).alias("field"),
        pl.col(field.name).alias("value"),
        pl.lit(field.rule).alias("rule"),
        pl.lit(field.mend).alias("mend"),
    )


def number_field(name: str, column: str = "") -> Field:
    """Describe a column of amounts or other numbers."""
    return Field(name, number, "must be a number", "write it as 1234.56 or $1,234.56", column)


def date_field(name: str, column: str = "", parse: Parse = date) -> Field:
    """Describe a column of dates."""
    return Field(name, parse, "must be a date", "write it as 2011-12-01 or Dec-2011", column)


def category_field(name: str, column: str = "", parse: Parse | None = None) -> Field:
    """Describe a column of free categories, kept as trimmed text unless `parse` maps them."""
    return Field(
        name,
        parse or (lambda value: value),
        "must be a known code",
        "see the publisher's dictionary",
        column,
    )
