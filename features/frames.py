"""Tables in memory and plans of tables: the same expressions over both.

A plan streams what would not fit; it costs milliseconds to optimise. A few loans in memory are
worked out at once, expression by expression, to the same bits.
"""

from typing import TypeVar

import polars as pl

AnyFrame = pl.LazyFrame | pl.DataFrame
# Both tables of a call are of one kind.
Frame = TypeVar("Frame", pl.LazyFrame, pl.DataFrame)


def collected(frame: AnyFrame) -> pl.DataFrame:
    """Table of a plan, streamed; a table that is in memory as it is."""
    return frame.collect(engine="streaming") if isinstance(frame, pl.LazyFrame) else frame


def known_empty(frame: AnyFrame) -> bool:
    """Whether a table in memory has no rows; of a plan that is not known."""
    return isinstance(frame, pl.DataFrame) and frame.is_empty()
