"""Rows that a check set aside, put back into the scores at their place and with their reason."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from features.faults import Faults

UNSCORED_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.Int64(),
    "loan_id": pl.String(),
    "reason": pl.String(),
}


def with_unscored(
    scores: pl.DataFrame,
    set_aside: pl.DataFrame,
    faults: Faults,
    file: str,
    row_numbers: pl.Series | None = None,
) -> pl.DataFrame:
    """Scores of the good rows and the rows set aside, in the order of the input.

    Parameters
    ----------
    scores : polars.DataFrame
        From `models.scoring.score_loans`, one row a good row of the tape.
    set_aside : polars.DataFrame
        `row` (1-based place on the tape), `loan_id`, `rules`.
    faults : Faults
        What is wrong with them; the first error of a row becomes its reason.
    file : str
        Name the faults give to the tape.
    row_numbers : polars.Series, optional
        The file's own number of each row of the tape, where faults are numbered by it.

    Returns
    -------
    polars.DataFrame
        One row a row of the tape. Rows set aside have only `loan_id` and `reason`.
    """
    return put_back(scores, unscored_rows(set_aside, faults, file, row_numbers))


def blocks_with_unscored(
    blocks: Iterable[pl.DataFrame], unscored: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Scores that come in blocks, each with the unscored rows that stand before its last one.

    Parameters
    ----------
    blocks : iterable of polars.DataFrame
        From `models.scoring.score_blocks`.
    unscored : polars.DataFrame
        From `unscored_rows`.

    Yields
    ------
    polars.DataFrame
        The rows of `put_back` on the whole, in its order.
    """
    rows = unscored["row"].sort()
    good = passed = 0
    # The last block also takes what stands after its last row.
    for scores, last in _marked_last(blocks):
        good += scores.height
        before = passed
        # The row of a good loan counts the unscored ones before it.
        while passed < len(rows) and (last or rows[passed] <= good + passed):
            passed += 1
        here = unscored.filter(pl.col("row").is_in(rows[before:passed].implode()))
        start = good - scores.height + before
        yield put_back(scores, here.with_columns(pl.col("row") - start))


def _marked_last(blocks: Iterable[pl.DataFrame]) -> Iterator[tuple[pl.DataFrame, bool]]:
    remaining = iter(blocks)
    held = next(remaining, None)
    while held is not None:
        following = next(remaining, None)
        yield held, following is None
        held = following


def unscored_rows(
    set_aside: pl.DataFrame, faults: Faults, file: str, row_numbers: pl.Series | None = None
) -> pl.DataFrame:
    """Rows set aside with their reasons: columns of `UNSCORED_SCHEMA`.

    Parameters are those of `with_unscored`.
    """
    if set_aside.is_empty():
        return pl.DataFrame(schema=UNSCORED_SCHEMA)
    bad_rows = set_aside["row"].cast(pl.Int64)
    told = (
        faults.listed.filter(pl.col("severity") == "error", pl.col("file") == file)
        .group_by("row")
        .agg(told=pl.format("{}: {}", "field", "mend").first())
    )
    numbers = bad_rows if row_numbers is None else row_numbers.cast(pl.Int64).gather(bad_rows - 1)
    return (
        set_aside.with_columns(pl.col("row").cast(pl.Int64), numbers.alias("told_row"))
        .join(told, left_on="told_row", right_on="row", how="left", maintain_order="left")
        .select("row", "loan_id", reason=pl.coalesce("told", "rules"))
    )


def put_back(scores: pl.DataFrame, unscored: pl.DataFrame) -> pl.DataFrame:
    """Scores with unscored rows at their place; those have only `loan_id` and `reason`.

    Parameters
    ----------
    scores : polars.DataFrame
        One row a good row of the tape.
    unscored : polars.DataFrame
        From `unscored_rows`.
    """
    if unscored.is_empty():
        return scores
    good_rows = pl.Series("row", range(1, scores.height + unscored.height + 1), dtype=pl.Int64)
    good_rows = good_rows.filter(~good_rows.is_in(unscored["row"].implode()))
    return (
        pl.concat([scores.with_columns(good_rows), unscored], how="diagonal")
        .sort("row")
        .select(scores.columns)
    )
