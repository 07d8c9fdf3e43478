"""A report on disk: page, document, workbook, and its tables as parquet."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import polars as pl

from models.backtest_files import DOCUMENT, PAGE, WORKBOOK
from training.report.page import render_page
from training.report.part import Part
from training.report.schema import Report
from training.report.words import Language
from training.report.workbook import write_workbook

TABLES: Final = "report_tables"
OWN_FILES: Final = (PAGE, DOCUMENT, WORKBOOK, TABLES)


def write_report(report: Report, language: Language, folder: Path) -> None:
    """Write a report into an existing folder.

    Parameters
    ----------
    report : Report
        The document.
    language : {"zh", "en"}
        Of page and workbook; the document is in both.
    folder : Path
        Holds `report.html`, `report.json`, `report.xlsx` and `report_tables/` afterwards.
    """
    (folder / PAGE).write_text(render_page(report, language), encoding="utf-8")
    (folder / DOCUMENT).write_text(report.text(), encoding="utf-8")
    write_workbook(folder / WORKBOOK, report, language)
    (folder / TABLES).mkdir(exist_ok=True)
    for name, table in report_tables(report).items():
        table.write_parquet(folder / TABLES / f"{name}.parquet")


def report_tables(report: Report) -> dict[str, pl.DataFrame]:
    """Tables of a report by name, a row each group, loan or line; empty ones are left out."""
    parts: dict[str, Iterable[Part]] = {
        "summary": report.summary,
        "funnel": report.data.funnel,
        "accuracy": report.accuracy.measures,
        "baselines": report.accuracy.rivals,
        "views": report.views,
        "reforecasts": report.reforecasts,
        "timing": report.timing,
        "calibration_tenths": report.calibration.tenths,
        "calibration_segments": report.calibration.loss_segments,
        "discrimination": report.discrimination.folds,
        "default_age": report.default_age.tests,
        "stability": report.stability.features,
        "coverage_loans": report.coverage.loans,
        "coverage_packages": report.coverage.packages,
        "misses": report.misses.loans,
        "leakage": report.leakage.features,
    }
    rows = {name: [_flat(part.model_dump()) for part in held] for name, held in parts.items()}
    rows["segments"] = [
        {"dimension": dimension.dimension, **_flat(segment.model_dump())}
        for dimension in report.segments.dimensions
        for segment in dimension.segments
    ]
    rows["curves"] = [
        {"asset_class": curve.asset_class, "loans": curve.loans, **point.model_dump()}
        for curve in report.curves
        for point in curve.points
    ]
    rows["corrections"] = [
        _flat(proof.model_dump(exclude={"conditions"}))
        | {"segment": ", ".join(f"{n} = {v}" for n, v in sorted(proof.conditions.items()))}
        for proof in report.corrections.proofs
    ]
    return {
        name: pl.DataFrame(held, infer_schema_length=None) for name, held in rows.items() if held
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose parts stand beside one another rather than in one another."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat
