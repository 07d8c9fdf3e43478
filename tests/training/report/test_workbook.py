"""The workbook read back: every table in full, whole amounts, text as text."""

from pathlib import Path

import openpyxl
import pytest
from openpyxl import Workbook

from training.report.schema import Report
from training.report.workbook import sheet_name, write_workbook


@pytest.fixture(scope="module")
def book(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Workbook:
    path = tmp_path_factory.mktemp("book") / "report.xlsx"
    write_workbook(path, report, "en")
    return openpyxl.load_workbook(path)


def sheet_rows(book: Workbook, holding: str) -> list[tuple[object, ...]]:
    name = next(n for n in book.sheetnames if holding in n)
    return list(book[name].iter_rows(min_row=3, values_only=True))


def test_the_summary_comes_first_with_its_lines(book: Workbook, report: Report) -> None:
    summary = book[book.sheetnames[0]]
    texts = [cell.value for row in summary.iter_rows() for cell in row if cell.value]
    assert book.sheetnames[0] == "Summary"
    assert "■ red" in texts
    for line in report.summary:
        assert line.en in texts


def test_segments_tie_with_their_total_in_whole_currency(book: Workbook, report: Report) -> None:
    header, *rows, total = sheet_rows(book, "Cash by Region")
    place = list(header).index("EAD (CNY)")
    money = [row[place] for row in rows]
    assert sum(float(str(m)) for m in money) == pytest.approx(float(str(total[place])))
    assert total[place] == pytest.approx(report.data.judged_ead_amount, abs=0.01)
    assert total[0] == "Total"


def test_text_is_never_a_formula_or_a_link(report: Report, tmp_path: Path) -> None:
    hostile = ['=HYPERLINK("http://x")', "+1", "-1", "@x", "http://x.example", "{=1}"]
    loans = tuple(
        miss.model_copy(update={"loan_id": text, "asset_class": text})
        for miss, text in zip(report.misses.loans, hostile, strict=False)
    )
    about = report.about.model_copy(update={"portfolio": "=2+2"})
    misses = report.misses.model_copy(update={"loans": loans})
    changed = report.model_copy(update={"about": about, "misses": misses})
    path = tmp_path / "hostile.xlsx"
    write_workbook(path, changed, "zh")
    read = openpyxl.load_workbook(path)
    rows = sheet_rows(read, "偏差金额最大")
    assert [row[1] for row in rows[1:]] == hostile
    for sheet in read:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" and cell.hyperlink is None for cell in row)


def test_numbers_stay_numbers_with_their_formats(book: Workbook) -> None:
    name = next(n for n in book.sheetnames if "Cash by view" in n)
    headers = {cell.value: cell.column for cell in book[name][3]}
    row = book[name][4]
    assert row[headers["Loans"] - 1].number_format == "#,##0"
    assert isinstance(row[headers["Deviation"] - 1].value, float)
    assert row[headers["Deviation"] - 1].number_format == "+0.0%;-0.0%;0.0%"
    assert book[name].freeze_panes == "B4"
    assert book[name].auto_filter.ref is not None


def test_names_of_sheets_fit_and_differ(book: Workbook) -> None:
    assert all(len(name) <= 31 for name in book.sheetnames)
    assert sheet_name(1, 2, "a'b") == "1.2 ab"
