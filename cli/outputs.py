"""Tables written for people and machines: parquet, CSV or XLSX, whole or not at all."""

from pathlib import Path
from typing import Final

import polars as pl
import typer
import xlsxwriter

from features.replacing import replacing_file

FORMATS: Final = (".parquet", ".csv", ".xlsx")
_EXCEL_ROWS: Final = 1_048_575
# Sentences are cut off by the next cell rather than push it off the screen.
_TEXT_PIXELS: Final = 480


def refuse_unknown_format(path: Path, rows: int | None = None) -> None:
    """Refuse a path whose ending names no format, or more rows than the format holds.

    Raises
    ------
    typer.BadParameter
        Naming the formats, or what to use instead.
    """
    if path.suffix not in FORMATS:
        raise typer.BadParameter(
            f"{path}: end the name in {', '.join(FORMATS)}", param_hint="--out"
        )
    if path.suffix == ".xlsx" and rows is not None and rows > _EXCEL_ROWS:
        raise typer.BadParameter(
            f"{path}: {rows:,} rows, a sheet holds {_EXCEL_ROWS:,}; write .parquet or .csv",
            param_hint="--out",
        )


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table aside, then rename it; the ending of `path` gives the format."""
    refuse_unknown_format(path, frame.height)
    with replacing_file(path) as aside:
        if path.suffix == ".parquet":
            frame.write_parquet(aside)
        elif path.suffix == ".csv":
            # With its mark, Excel reads the file as UTF-8.
            frame.write_csv(aside, include_bom=True)
        else:
            _write_xlsx(frame, aside)


def write_text(text: str, path: Path) -> None:
    """Write a text aside, then rename it."""
    with replacing_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _write_xlsx(frame: pl.DataFrame, path: Path) -> None:
    # A loan id that begins with "=" is text, not a formula.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with xlsxwriter.Workbook(path, options) as workbook:
        fractions = ("rate", "points", "probability")
        rates = [n for n in frame.columns if any(word in n for word in fractions)]
        frame.write_excel(
            workbook,
            worksheet="scores",
            column_formats=dict.fromkeys(rates, "0.00%"),
            column_widths={n: _TEXT_PIXELS for n in frame.columns if n.startswith("why")},
            freeze_panes=(1, 1),
            autofit=True,
        )
