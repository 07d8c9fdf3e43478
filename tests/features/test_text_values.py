"""Cells as people write them, against the value a person reads in them."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.text_values import read_as, read_date, read_flag, read_number


def one(expression: pl.Expr) -> Any:
    return pl.select(expression).item()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1234.5", 1234.5),
        ("1,234,567.89", 1234567.89),
        ("１，２３４．５", 1234.5),
        (" 12 ", 12.0),
        ("-3", -3.0),
        ("(1,200.50)", -1200.5),
        ("￥1,000元", 1000.0),
        ("人民币 500", 500.0),
        ("12.5万", 125000.0),
        ("1.2亿元", 1.2e8),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("12%", 12.0),
        ("-", None),
        ("无", None),
        ("", None),
        ("12,34", None),
        ("1.2.3", None),
        ("inf", None),
        ("twelve", None),
    ],
)
def test_numbers(text: str, number: float | None) -> None:
    assert one(read_number(pl.lit(text))) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_python_writes_it_comes_back_to_the_bit(number: float) -> None:
    assert one(read_number(pl.lit(repr(number)))) == number


@given(st.dates(date(1000, 1, 1), date(9999, 12, 31)))
def test_a_date_comes_back_however_it_is_written(day: date) -> None:
    for text in (
        day.isoformat(),
        day.strftime("%Y%m%d"),
        f"{day.year}/{day.month}/{day.day}",
        f"{day.year}.{day.month}.{day.day}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day.isoformat()} 00:00:00",
        f"{day.isoformat()}T00:00:00",
    ):
        assert one(read_date(pl.lit(text))) == day, text


@pytest.mark.parametrize(
    "text", ["2023-02-30", "2023年5月", "23-05-01", "05/01/2023", "45047", "x"]
)
def test_what_is_no_date_or_not_one_day_only(text: str) -> None:
    assert one(read_date(pl.lit(text))) is None


# Days of the 1900 calendar as Excel shows them.
@pytest.mark.parametrize(
    ("serial", "day"),
    [("45047", date(2023, 5, 1)), ("36526", date(2000, 1, 1)), ("43831.0", date(2020, 1, 1))],
)
def test_excel_serials_where_asked_for(serial: str, day: date) -> None:
    assert one(read_date(pl.lit(serial), excel_serials=True)) == day


def test_flags() -> None:
    texts = pl.Series(["是", "Y", "TRUE", "1", "否", "no", "0", "也许", "", None])
    flags = pl.select(read_flag(pl.lit(texts))).to_series().to_list()
    assert flags == [True] * 4 + [False] * 3 + [None] * 3


def test_whole_numbers_are_never_cut() -> None:
    texts = pl.Series(["36", "36.0", "36.5", "99999999999"])
    read = pl.select(read_as(pl.lit(texts), pl.Int32())).to_series().to_list()
    assert read == [36, 36, None, None]
