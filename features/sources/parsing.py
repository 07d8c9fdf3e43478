"""Reading values written as text or kept typed, alike: money, percentages, months, dates, codes.

Each function takes the expression of a raw column brought to text by `text` and gives a typed
expression, null where the text cannot be read.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import polars as pl

_BLANKS: Final = ("", "na", "n/a", "#n/a", "nan", "null", "nat", "<na>")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
# Thousands in threes or no separator at all: "1,23" is not read as 123.
_NUMBER: Final = r"^[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d+)?$"
LAST_TWO_DIGIT_YEAR: Final = 2049
_EXCEL_SERIAL: Final = r"^[2-6]\d{4}(?:\.\d+)?$"

# Pattern and the groups that hold year, month and day (0: no such part, the first is meant).
_DATES: Final = (
    # 2011-12-01, 2011/12/1, 2011-12, 2011-12-01 00:00:00, 2011年12月1日
    (r"^(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})日?|月)?(?:[T ]\d.*)?$", 1, 2, 3),
    (r"^(\d{4})(\d{2})(\d{2})$", 1, 2, 3),
    # Dec-2011, Dec-11, December 2011
    (r"^([A-Za-z]{3,9})[-/ ](\d{4}|\d{2})$", 2, 1, 0),
    # 11-Dec: what a spreadsheet makes of Dec-11
    (r"^(\d{2})-([A-Za-z]{3})$", 1, 2, 0),
    # 28-Feb-97, 7-Jul-1971
    (r"^(\d{1,2})[-/ ]([A-Za-z]{3,9})[-/ ](\d{4}|\d{2})$", 3, 2, 1),
    # 02/28/1997, month first as in the United States
    (r"^(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?: \d.*)?$", 3, 1, 2),
)

Parse = Callable[[pl.Expr], pl.Expr]


def text(column: str | pl.Expr) -> pl.Expr:
    """Bring a raw column of any type to trimmed text, null where it is blank or says "n/a"."""
    expression = pl.col(column) if isinstance(column, str) else column
    trimmed = expression.cast(pl.String).str.replace_all("\u00a0", " ").str.strip_chars()
    return pl.when(~trimmed.str.to_lowercase().is_in(_BLANKS)).then(trimmed)


def number(value: pl.Expr) -> pl.Expr:
    """Read a number or an amount: "$60,000.00 ", "(1,234)" for a negative, "1e5", "¥3,000".

    Infinite values and separators in wrong places ("1,23") are unreadable.
    """
    return value.map_batches(_numbers, return_dtype=pl.Float64, is_elementwise=True)


def _numbers(values: pl.Series) -> pl.Series:
    plain = values.cast(pl.Float64, strict=False)
    odd = values.is_not_null() & plain.is_finite().fill_null(False).not_()
    if not odd.any():
        return plain
    # The few that are not written plainly; patterns over millions of values would take minutes.
    dressed = pl.DataFrame({"value": values.filter(odd)}).select(_dressed_number(pl.col("value")))
    return plain.scatter(odd.arg_true(), dressed.to_series())


def _dressed_number(value: pl.Expr) -> pl.Expr:
    bare = value.str.replace_all(r"(?i)US\$|USD|[$¥￥€£\s]", "")
    bracketed = bare.str.contains(r"^\([^-+]+\)$")
    digits = pl.when(bracketed).then(bare.str.strip_chars("()")).otherwise(bare)
    legible = digits.str.contains(_NUMBER) & digits.str.contains(r"\d")
    plain = pl.when(legible).then(digits).str.replace_all(",", "").cast(pl.Float64, strict=False)
    signed = pl.when(bracketed).then(-plain).otherwise(plain)
    return pl.when(signed.is_finite()).then(signed)


def percentage(value: pl.Expr, *, bare_is_fraction: bool) -> pl.Expr:
    """Read a percentage, in percent: "10.65%" is 10.65.

    Parameters
    ----------
    value : polars.Expr
        Text.
    bare_is_fraction : bool
        Whether numbers without a percent sign are fractions (0.1065) rather than percent (10.65):
        a question for the whole column, see `bare_numbers_are_fractions`.
    """
    signed = value.str.ends_with("%")
    plain = number(value.str.strip_suffix("%"))
    scale = pl.when(signed | pl.lit(not bare_is_fraction)).then(1.0).otherwise(100.0)
    # 0.0775 * 100 is 7.75 only after rounding: both ways of writing a rate must give one value.
    return (plain * scale).round(9)


def bare_numbers_are_fractions(values: pl.Series) -> bool:
    """Tell from a whole column whether its numbers without a percent sign are fractions.

    Meant for rates that are always above 1 percent and below 100 percent, such as interest rates.
    No bare number at all counts as percent.
    """
    bare = values.drop_nulls().cast(pl.String)
    bare = bare.filter(~bare.str.strip_chars().str.ends_with("%"))
    numbers = pl.select(number(text(pl.lit(bare)))).to_series().drop_nulls()
    numbers = numbers.filter(numbers != 0)
    return len(numbers) > 0 and bool((numbers < 1).mean() > 0.5)  # type: ignore[operator]


def months(value: pl.Expr) -> pl.Expr:
    """Read a whole number of months: " 36 months", "36", 36.0, "36 mo"."""
    bare = value.str.replace(r"(?i)\s*(?:months?|mos?\.?)$", "")
    plain = number(bare)
    return pl.when(plain == plain.round()).then(plain).cast(pl.Int32, strict=False)


def date(value: pl.Expr, latest_year: int | pl.Expr = LAST_TWO_DIGIT_YEAR) -> pl.Expr:
    """Read a date; where no day is given it is the first of the month.

    Parameters
    ----------
    value : polars.Expr
        Text such as "2011-12-01", "2011-12-01 00:00:00", "20111201", "Dec-2011", "Dec-11",
        "11-Dec" (December 2011), "28-Feb-97", "02/28/1997" (month first) or a spreadsheet's day
        number (40878).
    latest_year : int or polars.Expr
        Last year a two-digit year can mean: later ones fall in the century before. An expression
        bounds each row by its own year, for instance that of an event which came later.
    """
    if isinstance(latest_year, int):
        return value.map_batches(
            partial(_dates, latest_year=latest_year), return_dtype=pl.Date, is_elementwise=True
        )
    read = date(value)
    beyond = ~value.str.contains(r"\d{4}") & (read.dt.year() > latest_year)
    return pl.when(beyond).then(read.dt.offset_by("-100y")).otherwise(read)


def _dates(values: pl.Series, latest_year: int) -> pl.Series:
    # Dates repeat: the patterns are tried on the distinct ones.
    written = values.alias("written").to_frame()
    table = written.unique().with_columns(_date_of(pl.col("written"), latest_year).alias("date"))
    return written.join(table, on="written", how="left", maintain_order="left")["date"]


def _date_of(value: pl.Expr, latest_year: int) -> pl.Expr:
    parts = [_date_parts(value, *pattern) for pattern in _DATES]
    year, month, day = (pl.coalesce(part[i] for part in parts) for i in range(3))
    whole = year.cast(pl.Int32, strict=False)
    century = pl.when(2000 + whole <= latest_year).then(2000).otherwise(1900)
    full_year = pl.when(year.str.len_chars() == 2).then(century + whole).otherwise(whole)
    iso = pl.format("{}-{}-{}", full_year, month.str.zfill(2), day.str.zfill(2))
    serial = pl.when(value.str.contains(_EXCEL_SERIAL)).then(value)
    days = serial.cast(pl.Float64, strict=False).floor().cast(pl.Int32)
    # Day 0 of spreadsheets, after their leap-year error of 1900.
    from_serial = (pl.lit("1899-12-30").str.to_date() + pl.duration(days=days)).cast(pl.Date)
    return pl.coalesce(iso.str.to_date("%Y-%m-%d", strict=False), from_serial)


def _date_parts(
    value: pl.Expr, pattern: str, year: int, month: int, day: int
) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    matched = value.str.contains(pattern)
    month_text = value.str.extract(pattern, month)
    named = (
        month_text.str.slice(0, 3)
        .str.to_lowercase()
        .replace_strict(_MONTHS, [str(n) for n in range(1, 13)], default=None)
    )
    day_text = value.str.extract(pattern, day).fill_null("1") if day else pl.lit("1")
    return (
        value.str.extract(pattern, year),
        pl.when(month_text.str.contains(r"^\d+$")).then(month_text).otherwise(named),
        pl.when(matched).then(day_text),
    )


def identifier(value: pl.Expr) -> pl.Expr:
    """Read an identifier; one that a number type has touched loses its ".0" or exponent."""
    whole = value.str.replace(r"^(\d+)\.0*$", "$1")
    exponent = pl.when(value.str.contains(r"^\d(?:\.\d+)?[eE]\+?\d+$")).then(value)
    return pl.coalesce(
        exponent.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False).cast(pl.String), whole
    )


def one_of(codes: dict[str, str]) -> Parse:
    """Read a code: case and surrounding spaces do not matter; others are unreadable."""
    keys = {key.casefold(): meaning for key, meaning in codes.items()}

    def parse(value: pl.Expr) -> pl.Expr:
        return value.str.to_lowercase().replace_strict(keys, default=None, return_dtype=pl.String)

    return parse


def us_state(value: pl.Expr) -> pl.Expr:
    """Read a two-letter US state as ISO 3166-2: "ca" is "US-CA"."""
    upper = value.str.to_uppercase()
    return pl.when(upper.str.contains(r"^[A-Z]{2}$")).then(pl.format("US-{}", upper))
