from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.sources import parsing
from features.sources.parsing import Parse, text
from features.sources.raw import ROW
from features.sources.reading import date_field, number_field, read_fields


def parsed(parse: Parse, *values: object) -> list[object]:
    frame = pl.DataFrame({"value": pl.Series(values, strict=True)})
    return frame.select(parse(text("value"))).to_series().to_list()


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("$60,000.00 ", 60000.0),
        ("(1,234)", -1234.0),
        ("($1,234.50)", -1234.5),
        ("-5", -5.0),
        ("+7", 7.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("￥3,000", 3000.0),
        ("US$ 12", 12.0),
        ("1\u00a0000", 1000.0),
        ("1,23", None),
        ("1,2345", None),
        ("(-5)", None),
        ("inf", None),
        ("1.2.3", None),
        (".", None),
        ("twelve", None),
        ("n/a", None),
        ("  ", None),
    ],
)
def test_number(written: str, amount: float | None) -> None:
    # Alone and among plain numbers: the two are read in different ways.
    assert parsed(parsing.number, written) == [amount]
    assert parsed(parsing.number, "1.25", written, None) == [1.25, amount, None]


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("Dec-2011", date(2011, 12, 1)),
        ("Dec-11", date(2011, 12, 1)),
        ("11-Dec", date(2011, 12, 1)),
        ("2011-12", date(2011, 12, 1)),
        ("2011-12-01", date(2011, 12, 1)),
        ("2011/12/1", date(2011, 12, 1)),
        ("2011-12-01 00:00:00", date(2011, 12, 1)),
        ("2011-12-01T00:00:00", date(2011, 12, 1)),
        ("20111201", date(2011, 12, 1)),
        ("40878", date(2011, 12, 1)),
        ("28-Feb-97", date(1997, 2, 28)),
        ("7-Jul-71", date(1971, 7, 7)),
        ("02/28/1997", date(1997, 2, 28)),
        ("2/8/97", date(1997, 2, 8)),
        ("2011年12月1日", date(2011, 12, 1)),
        ("2011年12月", date(2011, 12, 1)),
        ("30-Feb-97", None),
        ("Foo-2011", None),
        ("13/13/2011", None),
        ("soon", None),
    ],
)
def test_date(written: str, day: date | None) -> None:
    assert parsed(parsing.date, written) == [day]


def test_typed_dates() -> None:
    assert parsed(parsing.date, date(2011, 12, 1)) == [date(2011, 12, 1)]
    assert parsed(parsing.date, datetime(2011, 12, 1, 9)) == [date(2011, 12, 1)]


def test_two_digit_years_stay_before_the_bound_of_their_row() -> None:
    frame = pl.DataFrame({"line": ["Jan-46", "Jan-08", "Jan-46"], "issued": [2011, 2007, 2050]})
    lines = frame.select(parsing.date(text("line"), pl.col("issued"))).to_series().to_list()
    assert [line.year for line in lines] == [1946, 1908, 2046]


@pytest.mark.parametrize("written", ["10.65%", " 10.65 % ", "10.65"])
def test_percentage_in_percent(written: str) -> None:
    assert parsed(lambda v: parsing.percentage(v, bare_is_fraction=False), written) == [10.65]


@pytest.mark.parametrize("written", ["0.1065", 0.1065, "10.65%"], ids=repr)
def test_percentage_in_fractions(written: object) -> None:
    assert parsed(lambda v: parsing.percentage(v, bare_is_fraction=True), written) == [10.65]


@pytest.mark.parametrize(
    ("values", "fractions"),
    [
        (["0.0775", "0.147"], True),
        ([0.0775, None], True),
        (["7.75", "14.7"], False),
        (["7.75%"], False),
        ([None], False),
    ],
)
def test_which_scale_a_column_has(values: list[object], fractions: bool) -> None:
    assert parsing.bare_numbers_are_fractions(pl.Series(values)) is fractions


@pytest.mark.parametrize("written", [" 36 months", "36", 36, 36.0, "36 mo"], ids=repr)
def test_months(written: object) -> None:
    assert parsed(parsing.months, written) == [36]


def test_months_refuse_parts_of_one() -> None:
    assert parsed(parsing.months, "36.5 months") == [None]


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        (3003336002, "3003336002"),
        (3003336002.0, "3003336002"),
        ("0012", "0012"),
        ("3.003336002E+9", "3003336002"),
        ("A-1.0", "A-1.0"),
        (" ", None),
    ],
)
def test_identifier(written: object, identifier: str | None) -> None:
    assert parsed(parsing.identifier, written) == [identifier]


def test_us_state() -> None:
    assert parsed(parsing.us_state, "ca", "California", None) == ["US-CA", None, None]


@given(st.decimals(-(10**9), 10**9, places=2))
def test_money_round_trip(amount: object) -> None:
    value = float(str(amount))
    plain = f"{abs(value):,.2f}"
    written = [f"${plain} " if value >= 0 else f"({plain})", f"{value:,.2f}", f"{value:.2f}"]
    assert parsed(parsing.number, *written) == [value] * 3


@given(st.dates(date(1953, 1, 1), date(2049, 12, 31)))
def test_date_round_trip(day: date) -> None:
    written = [
        f"{day:{style}}" for style in ("%Y-%m-%d", "%d-%b-%y", "%d-%b-%Y", "%m/%d/%Y", "%Y%m%d")
    ]
    assert parsed(parsing.date, *written) == [day] * 5
    assert parsed(parsing.date, f"{day:%b-%Y}", f"{day:%b-%y}") == [day.replace(day=1)] * 2


def test_unreadable_values_are_accounted_for_and_blanks_are_not() -> None:
    frame = pl.DataFrame(
        {ROW: [4, 5, 6], "amount": ["1", "many", ""], "day": ["2011-13-01", None, "Dec-2011"]}
    )
    fields = [number_field("amount"), date_field("day"), number_field("absent")]
    typed, faults = read_fields(frame, fields, "raw.csv")
    assert typed["amount"].to_list() == [1.0, None, None]
    assert typed["absent"].to_list() == [None] * 3
    assert typed["absent"].dtype == pl.Float64
    assert faults.select("file", "row", "field", "value").rows() == [
        ("raw.csv", 4, "day", "2011-13-01"),
        ("raw.csv", 5, "amount", "many"),
    ]
