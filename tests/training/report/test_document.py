"""The document: read back as it was written, checked when read, and described by its schema."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from training.backtest import Backtest
from training.errors import TrainingError
from training.report.build import build_report
from training.report.schema import Report, json_schema, read_report
from training.report.writing import OWN_FILES, report_tables, write_report

Made = Callable[..., Backtest]
ROOT = Path(__file__).parents[3]


def test_a_report_is_read_back_as_it_was_written(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(report.text(), encoding="utf-8")
    assert read_report(path) == report
    assert read_report(path).text() == report.text()


def test_the_published_schema_is_that_of_the_code() -> None:
    assert (ROOT / "docs" / "report-schema.json").read_text(encoding="utf-8") == json_schema()


def test_what_is_no_report_is_refused(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(TrainingError, match="No such file"):
        read_report(path)
    path.write_text(json.dumps(json.loads(report.text()) | {"version": 2}))
    with pytest.raises(TrainingError, match=r"no npl-deviation-report of version 1 \(version"):
        read_report(path)
    path.write_text("{")
    with pytest.raises(TrainingError, match="make the report anew"):
        read_report(path)


def test_the_folder_holds_what_is_promised(report: Report, tmp_path: Path) -> None:
    write_report(report, "en", tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(OWN_FILES)
    tables = {p.stem: pl.read_parquet(p) for p in (tmp_path / "report_tables").iterdir()}
    assert tables.keys() == report_tables(report).keys()
    by_region = tables["segments"].filter(pl.col("dimension") == "region")
    assert by_region["loans"].sum() == report.data.judged_loans
    assert tables["summary"]["topic"].to_list() == [line.topic for line in report.summary]
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    write_report(report, "en", tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == first


def test_the_order_of_the_rows_changes_nothing(backtest_of: Made, loans: pl.DataFrame) -> None:
    whole = backtest_of(loans.head(800))
    shuffled = backtest_of(loans.head(800))
    mixed = shuffled.forecasts.sample(fraction=1.0, shuffle=True, seed=3)
    object.__setattr__(shuffled, "forecasts", mixed)
    assert build_report(shuffled).text() == build_report(whole).text()


def test_changes_since_the_last_report_are_told(
    backtest_of: Made, loans: pl.DataFrame, report: Report
) -> None:
    same = build_report(backtest_of(loans), previous=report)
    assert same.since_last is not None
    assert same.since_last.changes == ()
    worse = loans.with_columns(
        actual=pl.when(pl.col("region") == "CN-GD").then(pl.col("actual") * 0.6).otherwise("actual")
    )
    found = build_report(backtest_of(worse), previous=report).since_last
    assert found is not None
    flagged = {c.now: c for c in found.changes if c.topic == "flagged"}
    assert "广东省" in flagged["region = CN-GD"].zh
    told = {change.topic: change for change in found.changes}
    before = next(v.cash.deviation_rate for v in report.views if v.headline)
    assert told["deviation"].before == before
    assert "judged_loans" not in told


def test_a_report_of_another_portfolio_is_no_last_report(
    backtest_of: Made, loans: pl.DataFrame, report: Report
) -> None:
    about = report.about.model_copy(update={"portfolio": "other"})
    with pytest.raises(TrainingError, match="portfolio 'other', this one 'by hand'"):
        build_report(
            backtest_of(loans.head(400)), previous=report.model_copy(update={"about": about})
        )
