"""A spreadsheet as a grid of text, CSV and XLSX alike: header found, totals and remarks dropped."""

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fastexcel

from features.errors import SourceError
from features.sources.raw import detect_encoding
from features.vocabulary import folded

_HEADER_ROWS: Final = 30
_WORKBOOKS: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_SEPARATORS: Final = (",", ";", "\t", "|")
_TOTALS: Final = frozenset(
    (
        *("合计", "总计", "小计", "共计", "总和", "汇总"),
        *("total", "totals", "grandtotal", "subtotal", "sum"),
    )
)
# Below the table: notes, and who made and who approved it.
_REMARK: Final = re.compile(r"^(注|备注|说明|note|remark|source|数据来源)|[:：]", re.IGNORECASE)
Row = tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The table of a sheet.

    Parameters
    ----------
    above : tuple of str
        Cells of the rows above the header: titles, unit, cut-off date.
    header : tuple of str
        Header cells, trimmed; "" where there is none.
    header_row : int
        1-based row of the header in the sheet.
    rows : list of tuple of str
        Data rows as wide as the header; "" where a cell is empty.
    row_numbers : list of int
        1-based row of each data row in the sheet, as the spreadsheet program shows it.
    left_out : dict of str to int
        Rows below the header that are no data, by reason.
    """

    above: tuple[str, ...]
    header: Row
    header_row: int
    rows: list[Row]
    row_numbers: list[int]
    left_out: dict[str, int]


def read_grid(path: Path, sheet: str | None, known: Callable[[str], bool]) -> Grid:
    """Read a sheet and find its table.

    Parameters
    ----------
    path : Path
        CSV (comma, semicolon, tab or bar; UTF-8, UTF-16 with mark or GB18030) or a workbook.
    sheet : str, optional
        Name of the sheet of a workbook; the first by default.
    known : callable
        Whether a cell reads like a header. The header is the row among the first 30 with most of
        these.

    Raises
    ------
    SourceError
        When the file is absent, empty, unreadable, has no such sheet or no header.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give the path of a CSV or XLSX file")
    if path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty; export the tape again")
    workbook = path.suffix.lower() in _WORKBOOKS or zipfile.is_zipfile(path)
    rows = _workbook_rows(path, sheet) if workbook else _csv_rows(path)
    scores = [sum(known(cell) for cell in row) for row in rows[:_HEADER_ROWS]]
    if not scores or max(scores) == 0:
        # The cells themselves may be names or numbers of persons, and are not repeated here.
        raise SourceError(
            f"{path}: none of the first {min(len(rows), _HEADER_ROWS)} rows looks like a header;"
            " name the columns as in 'npl schema', or give a mapping file"
        )
    place = scores.index(max(scores))
    header = _trimmed_header(rows[place])
    above = tuple(cell for row in rows[:place] for cell in row if cell)
    return _table(above, header, place + 1, rows[place + 1 :])


def _trimmed_header(row: Row) -> Row:
    width = max(place for place, cell in enumerate(row) if cell) + 1
    return tuple(re.sub(r"\s+", " ", cell) for cell in row[:width])


def _table(above: tuple[str, ...], header: Row, header_row: int, below: Sequence[Row]) -> Grid:
    rows: list[Row] = []
    numbers: list[int] = []
    left_out: Counter[str] = Counter()
    for number, row in enumerate(below, header_row + 1):
        padded = (*row[: len(header)], *("" for _ in range(len(header) - len(row))))
        reason = _no_data(padded, header)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(padded)
            numbers.append(number)
    return Grid(above, header, header_row, rows, numbers, dict(left_out))


def _no_data(row: Row, header: Row) -> str:
    filled = [cell for cell in row if cell]
    if not filled:
        return "blank rows"
    # A label merged over several cells may stand anywhere before the first sum.
    if any(folded(cell) in _TOTALS for cell in filled[:3]):
        return "totals rows"
    if row == header:
        return "repeated header rows"
    if len(filled) <= 3 and len(header) > 3 and all(_REMARK.search(cell) for cell in filled):
        return "remark rows"
    return ""


def _csv_rows(path: Path) -> list[Row]:
    encoding = detect_encoding(path)
    text = path.read_bytes().decode(encoding)
    lines = text.splitlines()[:_HEADER_ROWS]
    separator = max(_SEPARATORS, key=lambda mark: sum(line.count(mark) for line in lines))
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        return [tuple(cell.strip() for cell in row) for row in rows]
    except csv.Error as error:
        raise SourceError(
            f"{path}: not a readable CSV file ({error}); check for an unclosed quotation mark"
        ) from error


def _workbook_rows(path: Path, sheet: str | None) -> list[Row]:
    try:
        workbook = fastexcel.read_excel(path)
    except fastexcel.FastExcelError as error:
        raise SourceError(
            f"{path}: not a readable workbook ({str(error).splitlines()[0]}); save it as XLSX"
            " without a password"
        ) from error
    names = workbook.sheet_names
    if sheet is not None and sheet not in names:
        raise SourceError(f"{path}: no sheet {sheet!r}; the workbook has {', '.join(names)}")
    try:
        loaded = workbook.load_sheet(
            sheet if sheet is not None else 0, header_row=None, skip_rows=0, dtypes="string"
        )
    except fastexcel.FastExcelError as error:
        raise SourceError(
            f"{path}: the sheet is damaged ({str(error).splitlines()[0]}); save it anew in Excel"
        ) from error
    return [
        tuple("" if cell is None else str(cell).strip() for cell in row)
        for row in loaded.to_polars().iter_rows()
    ]
