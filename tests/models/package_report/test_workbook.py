"""The workbook read back: totals against plain sums, text as text, refusals."""

from dataclasses import replace
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from openpyxl import Workbook

from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from models.bundle import Bundle, Provenance
from models.errors import ScoringError
from models.package import PackageValuation, value_package
from models.package_report import workbook
from models.package_report.workbook import EXCEL_ROWS, write_workbook
from models.scoring import score_loans
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings

SHEETS = ["Summary", "Loans", "Cash curve", "Factor groups", "Factors", "Segments", "Checks"]


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    folder = tmp_path_factory.mktemp("workbook") / "portfolio"
    simulate(folder, 400, 5)
    return read_portfolio(folder)


@pytest.fixture(scope="module")
def bundle(portfolio: Portfolio) -> Bundle:
    return Bundle(
        model=fit_recovery(training_set(portfolio), FitSettings()),
        portfolio=portfolio.meta,
        provenance=Provenance(
            data_hash="ab" * 32, git_commit=None, versions={}, known_on="2024-12-31", settings={}
        ),
        accuracy=[],
    )


@pytest.fixture(scope="module")
def scores(portfolio: Portfolio, bundle: Bundle) -> pl.DataFrame:
    good = score_loans(bundle.model, portfolio.tape, portfolio.ledger, explain=True)
    aside = pl.DataFrame({"loan_id": ["=1+1"], "reason": ["@SUM(A1): give a number"]})
    return pl.concat([good, aside], how="diagonal")


@pytest.fixture(scope="module")
def valuation(portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame) -> PackageValuation:
    return value_package(scores, portfolio.tape.collect(), bundle.model, portfolio.meta)


@pytest.fixture(scope="module")
def book(
    valuation: PackageValuation,
    scores: pl.DataFrame,
    bundle: Bundle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workbook:
    path = tmp_path_factory.mktemp("out") / "package.xlsx"
    write_workbook(path, valuation, scores, bundle)
    return openpyxl.load_workbook(path)


def column(book: Workbook, sheet: str, header: str) -> list[object]:
    rows = book[sheet].iter_rows(values_only=True)
    place = [str(name).split(" ")[0] if header in str(name) else "" for name in next(rows)]
    wanted = next(i for i, name in enumerate(place) if name)
    return [row[wanted] for row in rows]


def numbers(values: list[object]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]


def fact(book: Workbook, label: str) -> object:
    return next(row[2] for row in book["Summary"].iter_rows(values_only=True) if row[0] == label)


def test_every_sheet_is_there_and_every_table_is_frozen_and_filtered(book: Workbook) -> None:
    assert book.sheetnames == SHEETS
    for name in SHEETS[1:]:
        assert book[name].freeze_panes == "B2"
        assert book[name].auto_filter.ref == book[name].dimensions
        assert all(book[name].column_dimensions[c].width >= 13 for c in ("A", "B"))


def test_totals_tie_against_plain_sums(book: Workbook, scores: pl.DataFrame) -> None:
    pairs = [(e, r) for e, r in scores.select("ead", "recovery_rate").iter_rows() if r is not None]
    expected, ead = sum(e * r for e, r in pairs), sum(e for e, _ in pairs)
    assert fact(book, "Expected recovery, net, undiscounted") == pytest.approx(expected)
    assert fact(book, "On exposure (EAD)") == pytest.approx(expected / ead)
    assert sum(numbers(column(book, "Loans", "Expected recovery"))) == pytest.approx(expected)
    assert sum(numbers(column(book, "Loans", "EAD"))) == pytest.approx(ead)
    assert sum(numbers(column(book, "Cash curve", "Cash of the period"))) == pytest.approx(expected)
    for sheet in ("Factors", "Factor groups"):
        *parts, total = numbers(column(book, sheet, "Net"))
        assert total == pytest.approx(expected)
        # What the cells show, to the cent.
        shown = [round(100 * part) for part in parts]
        assert shown == pytest.approx([100 * part for part in parts], abs=1e-3)
        assert sum(shown) == round(100 * total)
    # Six splits, each the whole package.
    assert sum(numbers(column(book, "Segments", "EAD"))) == pytest.approx(6 * ead)
    assert all(value is True for value in column(book, "Checks", "Holds"))


def test_the_loans_sheet_has_every_row_in_order_and_no_single_feature_points(
    book: Workbook, scores: pl.DataFrame
) -> None:
    assert column(book, "Loans", "Loan") == scores["loan_id"].to_list()
    headers = [cell.value for cell in book["Loans"][1]]
    kept = [name for name in scores.columns if not name.startswith("points_")]
    assert len(headers) == len(set(headers)) == len(kept) + 7


def test_points_by_group_and_starting_point_give_the_rate(
    book: Workbook, scores: pl.DataFrame
) -> None:
    rows = list(book["Loans"].iter_rows(values_only=True))
    starts = [i for i, name in enumerate(rows[0]) if str(name).startswith("Starting point")]
    groups = [i for i, name in enumerate(rows[0]) if ", points" in str(name)]
    for row, forecast in zip(rows[1:], scores["recovery_rate"], strict=True):
        found = numbers([row[i] for i in starts + groups])
        if forecast is None:
            assert found == []
        else:
            assert sum(found) == pytest.approx(forecast, abs=1e-9)


def test_text_is_never_a_formula_or_a_link(
    book: Workbook, portfolio: Portfolio, bundle: Bundle, scores: pl.DataFrame, tmp_path: Path
) -> None:
    assert book["Loans"].cell(book["Loans"].max_row, 1).value == "=1+1"
    ids = ['=HYPERLINK("http://x")', "+1", "-1", "@x", "http://x.example", "{=1}"]
    renamed = dict(zip(scores["loan_id"].head(len(ids)), ids, strict=True))
    swap = pl.col("loan_id").replace(renamed)
    tape = portfolio.tape.collect().with_columns(swap, package_id=pl.lit("=2+2"))
    hostile = scores.with_columns(swap)
    path = tmp_path / "hostile.xlsx"
    write_workbook(
        path, value_package(hostile, tape, bundle.model, portfolio.meta), hostile, bundle
    )
    read = openpyxl.load_workbook(path)
    assert [read["Loans"].cell(row, 1).value for row in range(2, 8)] == ids
    assert read["Summary"]["A1"].value == "=2+2"
    for sheet in read:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" and cell.hyperlink is None for cell in row)


def test_number_formats(book: Workbook) -> None:
    headers = {cell.value: cell.column for cell in book["Loans"][1]}
    row = book["Loans"][2]
    assert row[headers["EAD 债权金额"] - 1].number_format == "#,##0.00"
    assert row[headers["Recovery rate 回收率"] - 1].number_format == "0.0%"
    assert row[headers["Factor 1 points"] - 1].number_format == "+0.0%;-0.0%;0.0%"


def test_the_same_valuation_makes_the_same_file(
    valuation: PackageValuation, scores: pl.DataFrame, bundle: Bundle, tmp_path: Path
) -> None:
    for name in ("one.xlsx", "two.xlsx"):
        write_workbook(tmp_path / name, valuation, scores, bundle)
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.xlsx", "two.xlsx"]


def test_more_loans_than_a_sheet_holds_are_refused_and_parquet_is_named(
    valuation: PackageValuation, scores: pl.DataFrame, bundle: Bundle, tmp_path: Path
) -> None:
    many = scores.select("loan_id", "reason").head(1)
    many = many.select(pl.all().repeat_by(EXCEL_ROWS + 1).explode(empty_as_null=True))
    with pytest.raises(ScoringError, match=r"1,048,576 loans.*1,048,575.*parquet"):
        write_workbook(tmp_path / "big.xlsx", replace(valuation, loans=many.height), many, bundle)
    assert list(tmp_path.iterdir()) == []


def test_a_text_longer_than_a_cell_is_refused(
    valuation: PackageValuation, scores: pl.DataFrame, bundle: Bundle, tmp_path: Path
) -> None:
    long = scores.with_columns(reason=pl.lit("x" * 32_768))
    with pytest.raises(ScoringError, match=r"reason has 32,768 characters.*parquet"):
        write_workbook(tmp_path / "long.xlsx", valuation, long, bundle)


def test_other_scores_than_those_valued_are_refused(
    valuation: PackageValuation, scores: pl.DataFrame, bundle: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(ScoringError, match="scores it was valued from"):
        write_workbook(tmp_path / "other.xlsx", valuation, scores.head(3), bundle)


def test_a_failed_write_leaves_the_older_file(
    valuation: PackageValuation,
    scores: pl.DataFrame,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "package.xlsx"
    path.write_text("older")

    def broken(_: PackageValuation) -> pl.DataFrame:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(workbook, "tie_out", broken)
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_workbook(path, valuation, scores, bundle)
    assert path.read_text() == "older"
    assert [found.name for found in tmp_path.iterdir()] == ["package.xlsx"]
