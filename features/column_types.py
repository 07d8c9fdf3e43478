"""Columns as the schema wants them: absent, unknown and wrongly typed ones, found and mended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

import polars as pl

from features.faults import Fault, Severity
from features.frames import AnyFrame
from features.rules import Rule
from features.text_values import BLANKS, plain, read_as
from features.vocabulary import folded, headers, nearest

ROW: Final = "__row"
_ORIGINAL: Final = "__original_"


@dataclass(frozen=True)
class TypedTable:
    """A table with every column of the schema in its type.

    Parameters
    ----------
    frame : pl.LazyFrame or pl.DataFrame
        `ROW` (1-based), the schema's columns, and under a prefix the original of each column that
        was read from another type.
    present : tuple of str
        The schema's columns that the file has, in schema order.
    rules : tuple of Rule
        One for each column that was read from another type: every value must have been readable.
    faults : tuple of Fault
        Faults of columns: unknown names and unsafe types.
    undeclared_text : tuple of str
        Text columns that are none of the schema's.
    absent : tuple of str
        The schema's columns that the file lacks; null throughout.
    """

    frame: AnyFrame
    present: tuple[str, ...]
    rules: tuple[Rule, ...]
    faults: tuple[Fault, ...]
    undeclared_text: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class WantedColumns:
    """Columns of a schema, for tables to be given.

    Attributes
    ----------
    dtypes : mapping of str to polars.DataType
        Columns and their types.
    vital : frozenset of str
        Columns whose unreadable values set the row aside; elsewhere they are taken as missing.
    undeclared : str
        What to do about a column that is none of the schema's.
    """

    dtypes: Mapping[str, pl.DataType]
    vital: frozenset[str]
    undeclared: str


def typed_table(table: AnyFrame, wanted: WantedColumns, file: str) -> TypedTable:
    """Give a table the columns and types of a schema without losing sight of what it held.

    Parameters
    ----------
    table : pl.LazyFrame or pl.DataFrame
        As the file has it, columns in any order and type.
    wanted : WantedColumns
        The schema's.
    file : str
        Name of the file, for the faults.
    """
    # Types are slow to hash: only those that are not as wanted are told.
    found = tuple(
        (name, None if wanted.dtypes.get(name) == dtype else dtype)
        for name, dtype in table.collect_schema().items()
    )
    columns, typed = _layout(found, wanted, file)
    return typed(table.with_row_index(ROW, offset=1).select(columns))


# Tables of one sender carry the same columns: what these alone decide is found once.
@lru_cache(maxsize=64)
def _layout(
    columns_found: tuple[tuple[str, pl.DataType | None], ...], wanted: WantedColumns, file: str
) -> tuple[list[pl.Expr], Callable[[AnyFrame], TypedTable]]:
    dtypes = wanted.dtypes
    found = {name: dtypes[name] if dtype is None else dtype for name, dtype in columns_found}
    ready = [name for name, dtype in dtypes.items() if found.get(name) == dtype]
    absent = tuple(name for name in dtypes if name not in found)
    unknown = [name for name in found if name not in dtypes]
    text = tuple(name for name in unknown if found[name] == pl.String)
    columns = [pl.col(ROW, *ready, *text)]
    columns += [pl.lit(None, dtype=dtypes[name]).alias(name) for name in absent]
    rules: list[Rule] = []
    for name, dtype in dtypes.items():
        if name in found and found[name] != dtype:
            original = _ORIGINAL + name
            severity: Severity = "error" if name in wanted.vital else "warning"
            as_text = _as_text(pl.col(name), found[name])
            columns += [read_as(as_text, dtype).alias(name), as_text.alias(original)]
            rules.append(_readable(name, dtype, original, severity))
    return columns, partial(
        TypedTable,
        present=tuple(name for name in dtypes if name in found),
        rules=tuple(rules),
        faults=(
            *_unknown_columns(unknown, list(absent), file, wanted.undeclared),
            *_unsafe_identifiers(found, dtypes, file),
        ),
        undeclared_text=text,
        absent=absent,
    )


def _as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_nested() or dtype == pl.Binary:
        # No one value to read: each is reported, by the type it came in.
        return pl.when(column.is_not_null()).then(pl.lit(f"<{dtype}>"))
    if dtype.is_float():
        whole = (column == column.round()) & (column.abs() < 2.0**53)
        return (
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.cast(pl.String))
        )
    if dtype == pl.Boolean:
        return pl.when(column).then(pl.lit("true")).when(column.not_()).then(pl.lit("false"))
    return column.cast(pl.String)


def _readable(name: str, dtype: pl.DataType, original: str, severity: Severity) -> Rule:
    text = pl.col(original)
    blank = text.is_null() | plain(text).str.to_lowercase().is_in(BLANKS)
    if isinstance(dtype, pl.Enum):
        rule, mend = "unknown_code", f"use one of {', '.join(dtype.categories)}"
    else:
        kind = {pl.Date: "a date: YYYY-MM-DD", pl.Boolean: "a flag: true or false"}
        wanted = kind.get(dtype.base_type(), "a number")
        if dtype.is_integer():
            wanted = "a whole number"
        elif isinstance(dtype, pl.Datetime):
            wanted = "a time: YYYY-MM-DDTHH:MM:SS"
        rule, mend = "unreadable_value", f"give {wanted}"
    holds = pl.col(name).is_not_null() | blank
    blanks = severity == "warning"
    return Rule(rule, name, holds, mend, severity, blanks=blanks, original=original)


def _unknown_columns(
    unknown: list[str], absent: list[str], file: str, undeclared: str
) -> list[Fault]:
    faults = []
    for name in unknown:
        meant = nearest(name, absent) or headers().get(folded(name))
        if meant in absent:
            rule = "mistyped_column"
            mend = f"did you mean {meant!r}? Rename it; its values are not used as they are"
        else:
            rule, mend = "undeclared_column", f"{undeclared}; not used"
        faults.append(Fault(file, None, name, None, rule, mend, "warning"))
    return faults


def _unsafe_identifiers(
    found: Mapping[str, pl.DataType], dtypes: Mapping[str, pl.DataType], file: str
) -> list[Fault]:
    return [
        Fault(
            file,
            None,
            name,
            str(found[name]),
            "identifier_as_number",
            "identifiers lose digits and leading zeros as decimal numbers: export them as text",
            "warning",
        )
        for name in dtypes
        if name in found and dtypes[name] == pl.String and found[name].is_float()
    ]
