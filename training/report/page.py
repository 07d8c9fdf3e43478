"""A report as one HTML file: no scripts, nothing from elsewhere, A4 when printed."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import count
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from training.report import contents
from training.report.blocks import Column, Table
from training.report.schema import Report
from training.report.summary import words_of
from training.report.words import Language, Words

TEMPLATE: Final = "report.html"
_LANGUAGE_TAGS: Final[Mapping[Language, str]] = {"zh": "zh-Hans", "en": "en"}


def render_page(report: Report, language: Language) -> str:
    """Write a report as HTML that a browser shows and prints as it stands.

    Parameters
    ----------
    report : Report
        The document.
    language : {"zh", "en"}
        Language of the page.

    Returns
    -------
    str
        The page. The same report gives the same page.
    """
    words = words_of(report, language)
    environment = _environment()
    figures, tables = count(1), count(1)
    environment.globals |= {
        "next_figure": lambda: words("report.figure", number=next(figures)),
        "next_table": lambda: words("report.table", number=next(tables)),
        "kind_of": lambda block: type(block).__name__,
    }
    environment.filters |= {
        "drawing": Markup,
        "grid": lambda table: _grid(table, words),
        "hidden": _hidden,
    }
    return environment.get_template(TEMPLATE).render(
        report=report,
        words=words,
        language=_LANGUAGE_TAGS[language],
        about=contents.about(report, words),
        sections=contents.sections(report, words),
    )


def _environment() -> Environment:
    def source(name: str) -> str:
        folder = files("training.report") / "templates"
        return (folder / name).read_text(encoding="utf-8")

    return Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _grid(table: Table, words: Words) -> list[dict[str, Any]]:
    """Rows of a table as text: what a cell says, how it stands, and whether the row stands out."""
    rows: list[tuple[str, Mapping[str, Any]]] = [
        ("strong" if row.get("_strong") else "", row)
        for row in (table.rows if table.shown is None else table.shown)
    ]
    if table.total is not None:
        rows.append(("total", table.total))
    return [{"kind": kind, "cells": _cells(row, table.columns, words)} for kind, row in rows]


def _hidden(table: Table) -> int:
    """Rows of the workbook that the page neither shows nor pools."""
    pooled = table.total is not None
    return 0 if table.shown is None or pooled else len(table.rows) - len(table.shown)


def _cells(
    row: Mapping[str, Any], columns: Sequence[Column], words: Words
) -> list[tuple[str, str]]:
    cells = []
    for place, column in enumerate(columns):
        value = row.get(column.key, "")
        aside = column.kind != "text" and isinstance(value, str) and place > 0
        look = "aside" if aside else "text" if column.kind == "text" else ""
        cells.append((words.number(column.kind, value), look))
    return cells
