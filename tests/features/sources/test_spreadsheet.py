"""One tape kept in many ways must come in as one and the same; what is special is told."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.check import check_tape
from features.portfolio import read_portfolio, write_portfolio
from features.sources.spreadsheet import read

CHINESE = (
    "借据号", "借款人编号", "资产包编号", "基准日", "贷款类型", "借款人类型", "担保方式", "币种",
    "授信额度", "未偿本金", "未偿利息", "违约日期", "五级分类", "是否核销", "诉讼状态", "所在地区",
    "利率", "担保比例", "备注",
)  # fmt: skip
ENGLISH = (
    "loan_id", "borrower_id", "package_id", "snapshot_date", "asset_class", "borrower_type",
    "guarantee_type", "currency", "original_amount", "principal_outstanding",
    "interest_outstanding", "default_date", "five_category", "written_off", "legal_stage",
    "borrower_adcode", "interest_rate", "guaranteed_pct", "remark",
)  # fmt: skip
ROWS = [
    ("A1", "B1", "P1", "2023-06-30", "credit_card", "individual", "credit", "CNY", 50000, 42000.5,
     6300, "2022-06-10", "doubtful", "false", "not_sued", "440100", 18, None, "x"),
    ("A2", "B2", "P1", "2023-06-30", "credit_card", "enterprise", "guarantee", "CNY", 800000,
     650000, 0, "2021-12-31", "loss", "true", "in_suit", "310000", 6.5, 0.8, None),
]  # fmt: skip
SPOKEN = {
    "2023-06-30": "2023年6月30日",
    "credit_card": "信用卡透支",
    "individual": "自然人",
    "enterprise": "企业",
    "credit": "信用",
    "guarantee": "保证",
    "CNY": "人民币",
    "2022-06-10": "2022/6/10",
    "2021-12-31": "20211231",
    "doubtful": "可疑",
    "loss": "损失类",
    "false": "否",
    "true": "是",
    "not_sued": "未诉",
    "in_suit": "已起诉",
    "440100": "广东省广州市",
    "310000": "上海",
    42000.5: "42,000.50",
    50000: "５００００",
    18: "18%",
    0.8: "80%",
    0: "0.00",
    None: "-",
}


def text(rows: list[tuple[Any, ...]], header: tuple[str, ...], separator: str) -> str:
    def cell(value: Any) -> str:
        plain = "" if value is None else str(value)
        return f'"{plain}"' if separator in plain else plain

    return "".join(separator.join(cell(value) for value in row) + "\n" for row in (header, *rows))


def spoken(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(SPOKEN.get(value, value) for value in row) for row in rows]


@pytest.fixture
def expected(tmp_path: Path) -> pl.DataFrame:
    (tmp_path / "plain.csv").write_text(text(ROWS, ENGLISH, ","), encoding="utf-8")
    tape = read(tmp_path / "plain.csv").tape
    # Held against the rows as typed above, so that the other ways have something to stand on.
    assert tape["principal_outstanding"].to_list() == [42000.5, 650000.0]
    assert tape["default_date"].to_list() == [date(2022, 6, 10), date(2021, 12, 31)]
    assert tape["written_off"].to_list() == [False, True]
    assert tape["guaranteed_pct"].to_list() == [None, 0.8]
    return tape


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_chinese_csv(tmp_path: Path, expected: pl.DataFrame, encoding: str, separator: str) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(text(spoken(ROWS), CHINESE, separator), encoding=encoding)
    result = read(path)
    assert result.faults.is_empty()
    assert_frame_equal(result.tape, expected)


def test_chinese_workbook_with_titles_totals_and_real_dates(
    tmp_path: Path, expected: pl.DataFrame
) -> None:
    book = openpyxl.Workbook()
    book.active.title = "说明"
    sheet = book.create_sheet("明细")
    sheet.append(["某某不良资产包"])
    sheet.append([])
    sheet.append(list(CHINESE))
    first, second = spoken(ROWS)
    sheet.append([datetime(2023, 6, 30) if cell == "2023年6月30日" else cell for cell in first])
    # 30 June 2023 as a bare number of days, as a cell without a date format holds it.
    sheet.append([45107 if cell == "2023年6月30日" else cell for cell in second])
    sheet.append(["合 计", None, None, None, None, None, None, None, 850000, 692000.5, 6300])
    sheet.append(["制表人：某某", None, "审核人：某某"])
    book.save(tmp_path / "tape.xlsx")
    result = read(tmp_path / "tape.xlsx", sheet="明细")
    assert_frame_equal(result.tape, expected)
    assert result.report.header_row == 3
    assert result.row_numbers.to_list() == [4, 5]
    assert dict(result.account.iter_rows()) == {
        "read": 4, "totals rows": 1, "remark rows": 1, "kept": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("above", "header"),
    [
        pytest.param("", "未偿本金（万元）", id="in the header"),
        pytest.param("单位：万元\n", "未偿本金", id="above the table"),
    ],
)
def test_amounts_in_ten_thousands(tmp_path: Path, above: str, header: str) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(f"{above}借据号,{header},利率,基准日\nA1,4.2,5,2023-06-30\n", encoding="utf-8")
    result = read(path)
    assert result.tape["principal_outstanding"].to_list() == [42000.0]
    assert result.tape["interest_rate"].to_list() == [5.0]
    assert "未偿本金" in str(result.report)
    assert "times 10000" in str(result.report)


def test_percent_in_the_header_of_a_fraction(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(
        "借据号,担保比例(%),利率(%),本金,基准日\nA1,80,12.5,1,2023-06-30\n", encoding="utf-8"
    )
    tape = read(path).tape
    assert tape["guaranteed_pct"].to_list() == [pytest.approx(0.8)]
    assert tape["interest_rate"].to_list() == [12.5]


def test_mapping_file_goes_before_names(tmp_path: Path) -> None:
    path, mapping = tmp_path / "tape.csv", tmp_path / "mapping.toml"
    path.write_text(
        "编号,本金余额,诉讼费后本金,品种,内部评级\nA1,100,90,白条,甲\nA2,200,190,信用卡,乙\n",
        encoding="utf-8",
    )
    mapping.write_text(
        """
name = "白条包"
recovery_basis = "principal"
[columns]
loan_id = "编号"
principal_outstanding = "诉讼费后本金"
asset_class = "品种"
grade = "内部评级"
[defaults]
snapshot_date = 2023-06-30
currency = "CNY"
borrower_type = "individual"
written_off = true
[values.asset_class]
"白条" = "consumer"
[values.grade]
"甲" = "A"
"乙" = "B"
[[extra_fields]]
name = "grade"
type = "category"
ordered = true
levels = ["A", "B"]
meaning_en = "Own grade"
meaning_zh = "内部评级"
""",
        encoding="utf-8",
    )
    result = read(path, mapping)
    tape = result.tape
    assert tape["principal_outstanding"].to_list() == [90.0, 190.0]
    assert tape["asset_class"].to_list() == ["consumer", "credit_card"]
    assert tape["grade"].to_list() == ["A", "B"]
    assert tape["written_off"].to_list() == [True, True]
    assert tape["snapshot_date"].to_list() == [date(2023, 6, 30)] * 2
    assert (result.meta.name, result.meta.recovery_basis) == ("白条包", "principal")
    assert result.report.unused == ("本金余额",)
    assert result.report.missing == ("original_amount", "guarantee_type")
    assert {column.how for column in result.report.mapped} == {"mapping file"}


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text("借据号,姓名,本金,基准日\nA1,张三,1,2023-06-30\n", encoding="utf-8")
    result = read(path)
    report = str(result.report)
    assert "unused headers: 姓名" in report
    assert "missing required fields: borrower_type, asset_class, original_amount" in report
    assert "borrower_id: loan_id: each loan its own borrower" in report
    # A name is in no column of the tape.
    assert "张三" not in result.tape.write_csv()


def test_the_cut_off_date_may_stand_above_the_table_or_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text("基准日：2023年6月30日\n借据号,本金,利息\nA1,1,2\n", encoding="utf-8")
    assert read(path).meta.observed_until_date == date(2023, 6, 30)
    assert read(path, snapshot_date=date(2024, 1, 1)).tape["snapshot_date"].to_list() == [
        date(2024, 1, 1)
    ]


def test_a_spreadsheet_becomes_a_portfolio_to_score(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(text(spoken(ROWS), CHINESE, ","), encoding="gb18030")
    result = read(path)
    assert (result.meta.recovery_timing, result.meta.source_system) == ("none", "cn_tape")
    write_portfolio(tmp_path / "P", result.meta, result.tape, result.ledger)
    portfolio = read_portfolio(tmp_path / "P")
    checked = check_tape(portfolio.tape, portfolio.meta)
    assert checked.set_aside.is_empty()
    assert checked.faults.counts() == {"absent_column": 1}  # industry_code of the enterprise
