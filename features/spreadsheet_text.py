"""Text that a spreadsheet program would run: found and made harmless."""

from typing import Final

import polars as pl

# A negative number is harmless.
_FORMULA: Final = r"^([=@\t\r]|[+-][^\d.])"


def harmless(text: pl.Expr) -> pl.Expr:
    """Text with an apostrophe before what would be read as a formula.

    Examples
    --------
    >>> cells = pl.DataFrame({"x": ["=1+1", "-5.2", "+cmd", "@sum", "HT-1"]})
    >>> cells.select(harmless(pl.col("x"))).to_series().to_list()
    ["'=1+1", '-5.2', "'+cmd", "'@sum", 'HT-1']
    """
    return pl.when(text.str.contains(_FORMULA)).then(pl.format("'{}", text)).otherwise(text)
