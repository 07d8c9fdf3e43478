"""Values written as text, as Chinese and English tapes have them: numbers, dates and flags.

Every reader takes and gives an expression and turns what it cannot read into null; whoever calls it
compares with the text and reports the difference.
"""

from typing import Final

import polars as pl

# What people type into a cell that has no value.
BLANKS: Final = (
    *("", "-", "--", "—", "——", "/", "\\", "无", "空", "不详", "未知"),
    *("n/a", "na", "null", "none", "nan", "#n/a"),
)
YES: Final = ("true", "yes", "y", "t", "1", "1.0", "是", "有", "√", "已", "对")
NO: Final = ("false", "no", "n", "f", "0", "0.0", "否", "没有", "×", "未", "不是", "错")

_NUMBER: Final = r"^([+-]?)(\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$"
_PARTS: Final = r"^(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[ t]+[\d:.]+z?)?$"
_DIGITS: Final = r"^(\d{4})(\d{2})(\d{2})(?:\.0)?$"
# Day 0 of Excel's 1900 calendar for dates after February 1900 (its year 1900 has 29 February).
_EXCEL_DAY_0: Final = pl.date(1899, 12, 30)
_EXCEL_SERIALS: Final = (18_000, 80_000)


def plain(text: pl.Expr) -> pl.Expr:
    """Return text with full-width characters made ASCII and outer blanks removed."""
    return text.str.normalize("NFKC").str.strip_chars()


def text_or_null(text: pl.Expr, blanks: tuple[str, ...] = BLANKS) -> pl.Expr:
    """Return the plain text, null where the cell says that there is no value."""
    tidy = plain(text)
    return pl.when(tidy.str.to_lowercase().is_in(blanks).not_()).then(tidy)


def read_number(text: pl.Expr) -> pl.Expr:
    """Return numbers, with thousands separators, full-width digits, (1,234) for minus, 元 or 万.

    A percent sign is dropped: whether the field is a percentage or a fraction is the caller's.

    Examples
    --------
    >>> cells = pl.DataFrame({"x": ["１，２３４．５", "(20)", "3.5万元", "¥ 12", "12%", "1.2.3"]})
    >>> cells.select(read_number(pl.col("x"))).to_series().to_list()
    [1234.5, -20.0, 35000.0, 12.0, 12.0, None]
    """
    tidy = text_or_null(text).str.to_lowercase().str.replace_all(r"[\s¥$€£%]|人民币|^rmb|^cny", "")
    bare = tidy.str.replace(r"元$", "")
    scale = (
        pl.when(bare.str.ends_with("万"))
        .then(1e4)
        .when(bare.str.ends_with("亿"))
        .then(1e8)
        .otherwise(1.0)
    )
    bare = bare.str.replace(r"[万亿]$", "").str.replace(r"^\((.*)\)$", "-$1")
    digits = pl.when(bare.str.contains(_NUMBER)).then(bare.str.replace_all(",", ""))
    number = digits.cast(pl.Float64, strict=False)
    # Multiplying only where a unit is given keeps every other number's last bit.
    return pl.when(scale == 1.0).then(number).otherwise(number * scale)


def read_date(text: pl.Expr, *, excel_serials: bool = False) -> pl.Expr:
    """Return dates written 2023-05-01, 2023/5/1, 2023.5.1, 2023年5月1日 or 20230501.

    Parameters
    ----------
    text : pl.Expr
    excel_serials : bool
        Also read whole numbers from 18000 to 80000 as days of Excel's 1900 calendar.

    Examples
    --------
    >>> cells = pl.DataFrame({"x": ["2023年5月1日", "20230501", "2023/5/1 00:00:00", "45047"]})
    >>> set(cells.select(read_date(pl.col("x"), excel_serials=True)).to_series())
    {datetime.date(2023, 5, 1)}
    """
    tidy = text_or_null(text).str.to_lowercase()
    parts = tidy.str.extract_groups(_PARTS)
    digits = tidy.str.extract_groups(_DIGITS)
    iso = [
        pl.format("{}-{}-{}", group.struct[0], *(group.struct[i].str.zfill(2) for i in (1, 2)))
        for group in (parts, digits)
    ]
    dates = pl.coalesce(iso).str.to_date("%Y-%m-%d", strict=False)
    if not excel_serials:
        return dates
    serial = tidy.str.extract(r"^(\d{5})(?:\.\d+)?$").cast(pl.Int64)
    day = pl.when(serial.is_between(*_EXCEL_SERIALS)).then(_EXCEL_DAY_0 + pl.duration(days=serial))
    return pl.coalesce(dates, day)


def read_flag(text: pl.Expr) -> pl.Expr:
    """Return flags written yes/no, true/false, 1/0 or 是/否."""
    tidy = plain(text).str.to_lowercase()
    return pl.when(tidy.is_in(YES)).then(True).when(tidy.is_in(NO)).then(False)


def read_as(text: pl.Expr, dtype: pl.DataType, *, excel_serials: bool = False) -> pl.Expr:
    """Return text read as `dtype`, null where it cannot be.

    A whole number with a fraction is unreadable, never cut.
    """
    if dtype == pl.Boolean:
        return read_flag(text)
    if dtype == pl.Date:
        return read_date(text, excel_serials=excel_serials)
    if dtype.is_float():
        return read_number(text)
    if dtype.is_integer():
        number = read_number(text)
        return pl.when(number == number.round()).then(number).cast(dtype, strict=False)
    if isinstance(dtype, pl.Datetime):
        return text_or_null(text).str.to_datetime(time_unit="us", strict=False)
    if isinstance(dtype, pl.Enum):
        return plain(text).cast(dtype, strict=False)
    return text_or_null(text, ("",))
