"""Sheets of a workbook: cells by type, number formats by column, files written whole."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from features.frames import AnyFrame, collected
from models.package_tables import POINTS
from models.wording import GROUPS, Label, capital

AMOUNT: Final = "#,##0.00"
COUNT: Final = "#,##0"
RATE: Final = "0.0%"
POINTS_LOOK: Final = "+0.0%;-0.0%;0.0%"
TITLE: Final = "title"
HEADER: Final = "header"
_WIDTH_ROWS: Final = 1_000
_BLOCK_ROWS: Final = 50_000
PLAIN: Final = ""
_HEADERS: Final = {
    "loan_id": "Loan 债权编号",
    "ead": "EAD 债权金额",
    "recovery_rate": "Recovery rate 回收率",
    "recovery_rate_p10": "P10 of the rate 回收率P10",
    "recovery_rate_p50": "P50 of the rate 回收率P50",
    "recovery_rate_p90": "P90 of the rate 回收率P90",
    "probability_of_nothing": "Probability of nothing 零回收概率",
    "expected_shortfall_rate": "Mean of the worst tenth 最差10%均值",
    "expected_recovery_amount": "Expected recovery 预期回收",
    "flags": "Flags 提示",
    "reason": "Reason without forecast 未评分原因",
    "base_rate": "Starting point 模型起点",
    "other_points": "Other factors 其余因素",
    "why_en": "Why",
    "why_zh": "原因（为何如此预测）",
    "horizon_months": "Months after the cut-off 基准日后月数",
    "cumulative_amount": "Cumulative cash 累计现金",
    "cash_amount": "Cash of the period 当期现金",
    "cumulative_rate": "Recovery rate 累计回收率",
    "share": "Share of expected recovery 占预期回收",
    "loans": "Loans 笔数",
    "scored_loans": "Scored 已评分",
    "claim_amount": "Principal + interest 本息",
    "ead_amount": "EAD 债权金额",
    "level": "Level 取值",
    "level_zh": "取值（中文）",
    "meaning": "Meaning",
    "meaning_zh": "含义",
    "dimension": "Split 分组",
    "group": "Group 类别",
    "feature": "Factor 因素",
    "amount": "Net 净影响",
    "raising_amount": "Raises 提高",
    "lowering_amount": "Lowers 降低",
    "raised_loans": "Loans raised 提高笔数",
    "lowered_loans": "Loans lowered 降低笔数",
}


Cell = str | float | bool | None
# Label, value, and the look of the row.
Fact = tuple[Label, Cell, str]


class Sheets:
    """Writes sheets row by row in bounded memory, every cell by its own type."""

    def __init__(self, workbook: Any) -> None:
        self._workbook = workbook
        looks: dict[str, dict[str, Any]] = {
            TITLE: {"bold": True, "font_size": 16},
            HEADER: {
                "bold": True,
                "text_wrap": True,
                "valign": "top",
                "bottom": 1,
                "bg_color": "#E8EDF2",
            },
            PLAIN: {},
            **{number: {"num_format": number} for number in (AMOUNT, COUNT, RATE, POINTS_LOOK)},
        }
        self._formats = {name: workbook.add_format(look) for name, look in looks.items()}

    def add_facts(self, name: str, facts: list[Fact]) -> None:
        """Add a sheet of labels and values, the first row its title."""
        sheet = self._workbook.add_worksheet(name)
        sheet.set_column(0, 0, 44)
        sheet.set_column(1, 1, 24)
        sheet.set_column(2, 2, 48)
        for place, (label, value, look) in enumerate(facts):
            of_label = look if look in (TITLE, HEADER) else PLAIN
            self._write(sheet, place, 0, label.en, of_label)
            self._write(
                sheet, place, 1, label.zh or None, of_label if of_label == HEADER else PLAIN
            )
            self._write(sheet, place, 2, value, look)
        self._printable(sheet, landscape=False)

    def add_frame(self, name: str, frame: AnyFrame) -> None:
        """Add a sheet of a table, with its header frozen and filters; a plan is read in blocks."""
        sheet = self._workbook.add_worksheet(name)
        schema = frame.collect_schema()
        looks = [_look(column, dtype) for column, dtype in schema.items()]
        first = collected(frame.head(_WIDTH_ROWS))
        for place, (column, dtype) in enumerate(schema.items()):
            sheet.set_column(place, place, _width(column, dtype, first))
        sheet.set_row(0, 32)
        for place, column in enumerate(schema):
            self._write(sheet, 0, place, _header(column), HEADER)
        row = 0
        for block in _blocks(frame):
            for values in block.iter_rows():
                row += 1
                for place, value in enumerate(values):
                    self._write(sheet, row, place, value, looks[place])
        sheet.freeze_panes(1, 1)
        sheet.autofilter(0, 0, row, max(len(schema) - 1, 0))
        sheet.repeat_rows(0)
        self._printable(sheet, landscape=True)

    def _write(self, sheet: Any, row: int, column: int, value: Cell, look: str) -> None:
        style = self._formats[look]
        if value is None or value == "":
            sheet.write_blank(row, column, None, style)
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value, style)
        elif isinstance(value, int | float):
            sheet.write_number(row, column, value, style)
        else:
            sheet.write_string(row, column, value, style)

    @staticmethod
    def _printable(sheet: Any, *, landscape: bool) -> None:
        sheet.set_paper(9)  # A4
        if landscape:
            sheet.set_landscape()
        sheet.fit_to_pages(1, 0)


def _blocks(frame: AnyFrame) -> Iterator[pl.DataFrame]:
    if isinstance(frame, pl.DataFrame):
        yield frame
        return
    rows = int(frame.select(pl.len()).collect().item())
    for start in range(0, rows, _BLOCK_ROWS):
        yield frame.slice(start, _BLOCK_ROWS).collect()


def _header(column: str) -> str:
    if column in _HEADERS:
        return _HEADERS[column]
    if column.startswith(POINTS):
        label = GROUPS[column.removeprefix(POINTS)]
        return f"{label.en}, points {label.zh}（百分点）"
    return capital(column.replace("_", " "))


def _look(column: str, dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return COUNT
    if not dtype.is_float():
        return PLAIN
    if column.startswith(POINTS) or column.endswith("points"):
        return POINTS_LOOK
    fraction = "rate" in column or "probability" in column or column == "share"
    return RATE if fraction else AMOUNT


def _width(column: str, dtype: pl.DataType, frame: pl.DataFrame) -> int:
    """Width that shows numbers whole and texts up to a length that can still be read across."""
    if dtype != pl.String:
        return 18 if _look(column, dtype) == AMOUNT else 13
    longest = max((len(text) for text in frame[column] if text is not None), default=0)
    return min(max(longest + 2, 14), 60)
