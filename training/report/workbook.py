"""A report as an Excel workbook: the summary, and every table on a sheet of its own."""

import re
from collections.abc import Mapping
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from features.replacing import replacing_file
from training.report import contents
from training.report.blocks import Column, Facts, Lights, Section, Table, Text
from training.report.part import Light
from training.report.schema import Report
from training.report.words import Kind, Language, Words

_FORMATS: Final[Mapping[Kind, str]] = {
    "text": "@",
    "count": "#,##0",
    "money": "#,##0.00",
    "money_signed": "+#,##0.00;-#,##0.00;0.00",
    "rate": "0.0%",
    "rate0": "0%",
    "signed": "+0.0%;-0.0%;0.0%",
    "signed0": "+0%;-0%;0%",
    "points": "+0.0%;-0.0%;0.0%",
    "p": "0.000",
    "figure": "0.000",
    "factor": "0.000",
    "decimal": "0.00",
    "months": "0.0",
    "months_signed": "+0.0;-0.0;0.0",
}
_SIGNS: Final[dict[Light | None, str]] = {"green": "●", "amber": "▲", "red": "■", None: "○"}
_COLOURS: Final[dict[Light | None, str]] = {
    "green": "#2E6B4F",
    "amber": "#8A5A00",
    "red": "#9C1C1C",
    None: "#586474",
}
_NAME_CHARACTERS: Final = 31
_CELL_CHARACTERS: Final = 32_767


def write_workbook(path: Path, report: Report, language: Language) -> None:
    """Write a report as XLSX, whole or not at all; amounts in whole currency, tables in full.

    Text is written as text whatever it begins with: nothing in the data becomes a formula or link.

    Parameters
    ----------
    path : Path
        Ends in `.xlsx`; an older file of that name is replaced.
    report : Report
        The document.
    language : {"zh", "en"}
        Language of the workbook.
    """
    words = Words(language, report.about.currency, 0.0)
    parts = contents.sections(report, words)
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with replacing_file(path) as aside, xlsxwriter.Workbook(aside, options) as workbook:
        # Not the clock's time: the same report makes the same file.
        made = datetime.combine(report.about.observed_until_date, time())
        title = f"{words('report.title')} – {report.about.portfolio}"
        workbook.set_properties({"title": title, "created": made})
        book = _Book(workbook)
        book.add_summary(title, report, words, parts)
        for number, section in enumerate(parts, 1):
            tables = [block for block in section.blocks if isinstance(block, Table)]
            for place, table in enumerate(tables, 1):
                book.add_table(sheet_name(number, place, table.caption), section, table)


def sheet_name(section: int, table: int, caption: str) -> str:
    """Name of a sheet: its number and as much of its caption as Excel allows.

    Examples
    --------
    >>> sheet_name(5, 2, "Cash by [region]: all of the provinces")
    '5.2 Cash by region all of the p'
    """
    plain = re.sub(r"[\[\]:*?/\\']", "", caption)
    return f"{section}.{table} {plain}"[:_NAME_CHARACTERS].strip()


class _Book:
    """Sheets of a workbook, each cell by its own type."""

    def __init__(self, workbook: Any) -> None:
        self._workbook = workbook
        self._formats: dict[tuple[str, bool], Any] = {}
        heading = {"bold": True, "text_wrap": True, "valign": "top", "bottom": 1}
        self._heading = workbook.add_format(heading | {"bg_color": "#E8EDF2"})
        self._title = workbook.add_format({"bold": True, "font_size": 16})
        self._caption = workbook.add_format({"bold": True, "font_size": 12})
        self._wrapped = workbook.add_format({"text_wrap": True, "valign": "top"})
        self._note = workbook.add_format({"font_color": "#586474"})
        self._lights = {
            light: workbook.add_format({"bold": True, "font_color": colour, "valign": "top"})
            for light, colour in _COLOURS.items()
        }

    def add_summary(self, title: str, report: Report, words: Words, parts: list[Section]) -> None:
        """Add the first sheet: what was judged, the lines with their lights, all other text."""
        sheet = self._workbook.add_worksheet(words("section.summary"))
        for place, width in enumerate((16, 16, 110)):
            sheet.set_column(place, place, width)
        sheet.write_string(0, 0, title, self._title)
        overall = _SIGNS[report.light] + " " + words(f"light.{report.light or 'none'}")
        sheet.write_string(1, 0, words("report.overall"), self._caption)
        sheet.write_string(1, 1, overall, self._lights[report.light])
        row = 3
        for name, value in contents.about(report, words).pairs:
            sheet.write_string(row, 0, name, self._note)
            sheet.write_string(row, 2, value)
            row += 1
        for section in parts:
            row += 1
            sheet.write_string(row, 0, section.title, self._caption)
            row += 1
            for block in section.blocks:
                row = self._say(sheet, row, block, words)
        self._printable(sheet, landscape=False)

    def _say(self, sheet: Any, row: int, block: Any, words: Words) -> int:
        """Write what is no table; return the next free row."""
        if isinstance(block, Lights):
            for light, topic, text in block.lines:
                sign = f"{_SIGNS[light]} {words('light.' + (light or 'none'))}"
                sheet.write_string(row, 0, sign, self._lights[light])
                sheet.write_string(row, 1, topic, self._wrapped)
                sheet.write_string(row, 2, text, self._wrapped)
                row += 1
        elif isinstance(block, Facts):
            for name, value in block.pairs:
                sheet.write_string(row, 0, name, self._note)
                sheet.write_string(row, 2, value[:_CELL_CHARACTERS], self._wrapped)
                row += 1
        elif isinstance(block, Text):
            sheet.write_string(row, 2, block.text[:_CELL_CHARACTERS], self._wrapped)
            row += 1
        return row

    def add_table(self, name: str, section: Section, table: Table) -> None:
        """Add a sheet of one table, its header frozen and filtered."""
        sheet = self._workbook.add_worksheet(name)
        sheet.write_string(0, 0, f"{section.title} – {table.caption}", self._caption)
        sheet.set_row(2, 32)
        for place, column in enumerate(table.columns):
            sheet.write_string(2, place, column.title, self._heading)
            sheet.set_column(place, place, _width(column, table))
        for row, values in enumerate(table.rows, 3):
            self._row(sheet, row, table, values, bool(values.get("_strong")))
        last = 2 + len(table.rows)
        sheet.freeze_panes(3, 1)
        sheet.autofilter(2, 0, last, len(table.columns) - 1)
        if table.total is not None:
            self._row(sheet, last + 1, table, table.total, True)
        sheet.repeat_rows(2)
        self._printable(sheet, landscape=True)

    def _row(
        self, sheet: Any, row: int, table: Table, values: Mapping[str, Any], strong: bool
    ) -> None:
        for place, column in enumerate(table.columns):
            value = values.get(column.key)
            look = self._format(column.kind, strong)
            if value is None or value == "":
                sheet.write_blank(row, place, None, look)
            elif isinstance(value, int | float):
                sheet.write_number(row, place, value, look)
            else:
                sheet.write_string(row, place, str(value)[:_CELL_CHARACTERS], look)

    def _format(self, kind: Kind, strong: bool) -> Any:
        if (kind, strong) not in self._formats:
            look = {"num_format": _FORMATS[kind], "bold": strong}
            self._formats[kind, strong] = self._workbook.add_format(look)
        return self._formats[kind, strong]

    @staticmethod
    def _printable(sheet: Any, *, landscape: bool) -> None:
        sheet.set_paper(9)  # A4
        if landscape:
            sheet.set_landscape()
        sheet.fit_to_pages(1, 0)


def _width(column: Column, table: Table) -> float:
    """Width that shows numbers whole, and texts up to a length that can be read across."""
    if column.kind != "text":
        return 18 if column.kind.startswith("money") else 12
    texts = [str(row.get(column.key) or "") for row in table.rows]
    # A Chinese character is two wide.
    longest = max(
        (len(t) + sum(c >= "\u2e80" for c in t) for t in [*texts, column.title]), default=0
    )
    return min(max(longest + 3, 14), 80)
