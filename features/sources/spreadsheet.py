"""A tape kept in a spreadsheet, CSV or XLSX, with Chinese or English headers.

Spreadsheets hold loans to be valued, without outcomes: the ledger is empty and the portfolio is
good for scoring, not for training.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from features.errors import SourceError
from features.faults import masked
from features.portfolio import ExtraField, PortfolioMeta
from features.sources.mapping import (
    MappedColumn,
    MappingReport,
    SpreadsheetMapping,
    map_headers,
    read_mapping,
)
from features.sources.result import FAULT_SCHEMA, SourceResult, account_of, conform_tape, no_ledger
from features.sources.sheet_grid import Grid, read_grid
from features.tape import Tape, tape_dtypes
from features.text_values import plain, read_as, text_or_null
from features.vocabulary import codes, folded, headers, meant_code, region_names

_CUT_OFF: Final = re.compile(
    r"(?:基准日|封包日|截止日|cut-?\s?off)\D{0,12}(\d{4}\D\d{1,2}\D\d{1,2})", re.IGNORECASE
)
_REGIONS: Final = ("borrower_adcode", "collateral_adcode", "court_adcode")
_MANGLED: Final = r"^\d(?:\.\d+)?[eE]\+\d+$"


@dataclass(frozen=True)
class SpreadsheetResult(SourceResult):
    """A portfolio made from a spreadsheet.

    Parameters
    ----------
    report : MappingReport
        Which header became which field; print it.
    row_numbers : polars.Series
        The sheet's own row of each tape row, for `features.check.check_tape`.
    """

    report: MappingReport
    row_numbers: pl.Series


def read(
    path: Path,
    mapping: Path | None = None,
    *,
    sheet: str | None = None,
    snapshot_date: date | None = None,
    extra_fields: tuple[ExtraField, ...] = (),
) -> SpreadsheetResult:
    """Read a spreadsheet tape.

    Parameters
    ----------
    path : Path
        CSV (UTF-8 with or without mark, UTF-16, GB18030; comma, semicolon, tab) or XLSX.
    mapping : Path, optional
        TOML file with [columns] field = "header", [defaults] field = value and
        [values.FIELD] "text" = "code".
    sheet : str, optional
        Sheet of a workbook; the first by default.
    snapshot_date : date, optional
        Cut-off date of rows that give none.
    extra_fields : tuple of ExtraField
        Columns beyond the schema that a model asks for, found by name; those of the mapping file
        go before them.

    Raises
    ------
    SourceError
        When the file cannot be read, no header is found, two columns mean one field, or there is
        no cut-off date at all.
    """
    rules = read_mapping(mapping)
    own = {extra.name for extra in rules.extra_fields}
    wanted = tuple(extra for extra in extra_fields if extra.name not in own)
    rules = rules.model_copy(update={"extra_fields": (*rules.extra_fields, *wanted)})
    asked = {folded(header) for header in rules.columns.values()}
    grid = read_grid(path, sheet, lambda cell: folded(cell) in asked or folded(cell) in headers())
    if not grid.rows:
        raise SourceError(
            f"{path}: no rows below the header in row {grid.header_row}; export the tape again"
        )
    columns = map_headers(grid, rules, path)
    cells = pl.DataFrame(
        {column.field: [row[column.place] for row in grid.rows] for column in columns},
        schema={column.field: pl.String for column in columns},
    )
    typed, faults = _typed(cells, columns, rules, path.name, pl.Series(grid.row_numbers))
    defaults, origins = _defaults(grid, rules, columns, snapshot_date, path)
    tape = _filled(typed, defaults)
    if tape["snapshot_date"].null_count() == len(tape):
        raise SourceError(
            f"{path}: no cut-off date (基准日); add a column snapshot_date, or give snapshot_date"
            " under [defaults] of a mapping file"
        )
    required = [name for name, column in Tape.columns().items() if not column.nullable]
    report = MappingReport(
        header_row=grid.header_row,
        mapped=columns,
        filled=origins,
        unused=tuple(
            header
            for place, header in enumerate(grid.header)
            if header and place not in {column.place for column in columns}
        ),
        missing=tuple(
            name for name in (*required, *_basis_fields(rules)) if name not in tape.columns
        ),
    )
    kept = conform_tape(tape, rules.extra_fields)
    return SpreadsheetResult(
        meta=_meta(kept, rules, path, origins),
        tape=kept,
        ledger=no_ledger(),
        account=account_of(
            len(grid.rows) + sum(grid.left_out.values()), grid.left_out, len(grid.rows)
        ),
        faults=faults,
        report=report,
        row_numbers=pl.Series("row", grid.row_numbers, dtype=pl.Int64),
    )


def _basis_fields(rules: SpreadsheetMapping) -> tuple[str, ...]:
    needed = {"claim": 2, "principal": 1, "original_amount": 0}[rules.recovery_basis]
    return ("principal_outstanding", "interest_outstanding")[:needed]


def _typed(
    cells: pl.DataFrame,
    columns: tuple[MappedColumn, ...],
    rules: SpreadsheetMapping,
    file: str,
    row_numbers: pl.Series,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    dtypes = tape_dtypes() | {extra.name: extra.dtype for extra in rules.extra_fields}
    typed = cells.select(
        _read(cells, column, dtypes[column.field], rules.values.get(column.field, {}))
        for column in columns
    )
    given = cells.select(text_or_null(pl.col(column.field)) for column in columns)
    headers_by_field = {column.field: column.header for column in columns}
    faults = [
        fault
        for name, header in headers_by_field.items()
        for fault in _unread(given[name], typed[name], name, header, file, row_numbers)
    ]
    listed = pl.DataFrame(faults, schema=FAULT_SCHEMA, orient="row")
    return typed, listed.sort("row", maintain_order=True)


def _read(
    cells: pl.DataFrame, column: MappedColumn, dtype: pl.DataType, values: Mapping[str, str]
) -> pl.Expr:
    text = pl.col(column.field)
    known = {folded(value): code for value, code in values.items()}
    if isinstance(dtype, pl.Enum):
        known = codes(column.field) | known
        return _by_name(cells, column, known).cast(dtype, strict=False).alias(column.field)
    if column.field in _REGIONS or column.field == "currency":
        known = (region_names() if column.field in _REGIONS else codes("currency")) | known
        return pl.coalesce(_by_name(cells, column, known), text_or_null(text)).alias(column.field)
    if values:
        text = pl.coalesce(_by_name(cells, column, known), text)
    number = read_as(text, dtype, excel_serials=True)
    if not dtype.is_float():
        return number.alias(column.field)
    if column.scale == 1.0 and _unit_of(column.field) == "ratio":
        number = pl.when(plain(text).str.ends_with("%")).then(number / 100).otherwise(number)
    return (number if column.scale == 1.0 else number * column.scale).alias(column.field)


def _by_name(cells: pl.DataFrame, column: MappedColumn, known: Mapping[str, str]) -> pl.Expr:
    texts = cells[column.field].unique().to_list()
    meanings = {text: known[folded(text)] for text in texts if folded(text) in known}
    return pl.col(column.field).replace_strict(meanings, default=None, return_dtype=pl.String)


def _unit_of(name: str) -> str:
    column = Tape.columns().get(name)
    return str((column.metadata or {}).get("unit", "")) if column is not None else ""


def _unread(
    given: pl.Series, typed: pl.Series, name: str, header: str, file: str, row_numbers: pl.Series
) -> Iterator[tuple[str, int, str, str, str, str]]:
    unread = given.is_not_null() & typed.is_null()
    for row, value in zip(row_numbers.filter(unread), given.filter(unread), strict=True):
        rule, mend = _mend(name, typed.dtype, value)
        yield file, row, header, masked(value), rule, f"{mend}; taken as missing"
    if typed.dtype == pl.String and name.endswith("_id"):
        mangled = typed.str.contains(_MANGLED).fill_null(False)
        for row, value in zip(row_numbers.filter(mangled), typed.filter(mangled), strict=True):
            mend = "digits are lost: format the column as text before saving"
            yield file, row, header, value, "identifier_as_number", mend


def _mend(name: str, dtype: pl.DataType, value: str) -> tuple[str, str]:
    if isinstance(dtype, pl.Enum):
        meant = meant_code(name, value)
        hint = f", did you mean {meant!r}? Write that" if meant else ""
        return "unknown_code", (
            f"use one of {', '.join(dtype.categories)}{hint}, or map it under [values.{name}]"
        )
    wanted = {
        pl.Date: "a date such as 2023-05-01, 2023/5/1 or 2023年5月1日",
        pl.Boolean: "是 or 否, true or false",
        pl.Int32: "a whole number",
    }
    return "unreadable_value", f"give {wanted.get(dtype.base_type(), 'a number')}"


def _defaults(
    grid: Grid,
    rules: SpreadsheetMapping,
    columns: tuple[MappedColumn, ...],
    snapshot_date: date | None,
    path: Path,
) -> tuple[dict[str, pl.Expr], dict[str, str]]:
    """Return what fills absent columns and empty cells, and where each value comes from."""
    present = {column.field for column in columns}
    values: dict[str, pl.Expr] = {}
    origins: dict[str, str] = {}
    for name, value in rules.defaults.items():
        text = pl.lit(str(value).lower() if isinstance(value, bool) else str(value))
        dtype = (tape_dtypes() | {x.name: x.dtype for x in rules.extra_fields})[name]
        if pl.select(read_as(text, dtype)).item() is None:
            raise SourceError(
                f"{path}: [defaults] {name} = {value!r} cannot be read as {dtype}; see 'npl schema'"
            )
        values[name] = read_as(text, dtype)
        origins[name] = f"{value} where empty (mapping file)"
    above = _CUT_OFF.search(" ".join(grid.above))
    if snapshot_date is not None:
        values["snapshot_date"] = pl.lit(snapshot_date)
        origins["snapshot_date"] = f"{snapshot_date} where empty (asked for)"
    elif "snapshot_date" not in values and above is not None:
        found = read_as(pl.lit(above[1]), pl.Date())
        values["snapshot_date"] = found
        origins["snapshot_date"] = f"{pl.select(found).item()} where empty (above the table)"
    implied = {
        "source_system": (pl.lit("cn_tape"), "cn_tape: a spreadsheet tape"),
        "package_id": (pl.lit(path.stem), f"{path.stem}: the file's name"),
    }
    if "loan_id" in present:
        implied["borrower_id"] = (pl.col("loan_id"), "loan_id: each loan its own borrower")
    if any(re.search("[\u4e00-\u9fff]", column.header) for column in columns):
        implied["currency"] = (pl.lit("CNY"), "CNY: Chinese headers, and none says otherwise")
    for name, (expression, origin) in implied.items():
        if name not in present and name not in values:
            values[name], origins[name] = expression, origin
    return values, origins


def _filled(typed: pl.DataFrame, defaults: Mapping[str, pl.Expr]) -> pl.DataFrame:
    filled = typed.with_columns(
        (pl.coalesce(name, value) if name in typed.columns else value).alias(name)
        for name, value in defaults.items()
    )
    if "snapshot_date" not in filled.columns:
        filled = filled.with_columns(pl.lit(None, dtype=pl.Date).alias("snapshot_date"))
    return filled


def _meta(
    tape: pl.DataFrame, rules: SpreadsheetMapping, path: Path, origins: Mapping[str, str]
) -> PortfolioMeta:
    currencies = (
        tape["currency"].drop_nulls().value_counts(sort=True)["currency"].to_list()
        if "currency" in tape.columns
        else []
    )
    usual = next((code for code in currencies if re.fullmatch("[A-Z]{3}", code)), None)
    if usual is None:
        raise SourceError(
            f"{path}: no currency; add a column currency (币种), or give currency under [defaults]"
            ' of a mapping file, such as currency = "CNY"'
        )
    sources = tape["source_system"].drop_nulls().to_list()
    observed = tape["snapshot_date"].max()
    if not isinstance(observed, date):
        raise SourceError(f"{path}: no cut-off date (基准日) can be read")
    return PortfolioMeta(
        name=rules.name or path.stem,
        source_system=str(sources[0]) if sources else "cn_tape",
        currency=usual,
        observed_until_date=observed,
        recovery_basis=rules.recovery_basis,
        recovery_timing="none",
        extra_fields=rules.extra_fields,
        notes=tuple(f"{name}: {origin}" for name, origin in origins.items()),
    )
