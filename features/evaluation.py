"""Holding a table against its rules: all faults counted, the first listed, bad rows found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from features.column_types import ROW
from features.faults import SHOWN_CHARACTERS, Fault, Faults, masked
from features.rules import Rule
from features.vocabulary import allowed_codes, folded, meant_code, region_names

SET_ASIDE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.Int64(),
    "loan_id": pl.String(),
    "rules": pl.String(),
}


@dataclass(frozen=True)
class Evaluation:
    """What came of the rules.

    Parameters
    ----------
    rows : int
        Rows of the table.
    faults : Faults
        Errors and warnings.
    set_aside : pl.DataFrame
        `row` (1-based), `loan_id` and `rules` ("rule: field" joined by "; ") of every row that
        broke a rule of severity error.
    blanked : tuple of Rule
        Broken rules whose values are to be taken as missing.
    """

    rows: int
    faults: Faults
    set_aside: pl.DataFrame
    blanked: tuple[Rule, ...]


def evaluate(
    frame: pl.LazyFrame,
    rules: Sequence[Rule],
    present: Sequence[str],
    file: str,
    listed_per_rule: int,
) -> Evaluation:
    """Hold a table against rules; rows are looked at one by one only where a rule is broken.

    Parameters
    ----------
    frame : pl.LazyFrame
        `ROW`, `loan_id` and every column the rules read.
    rules : sequence of Rule
    present : sequence of str
        Columns the file really has: a rule without any of its columns is a fault of the file.
    file : str
        Name of the file, for the faults.
    listed_per_rule : int
        Faults listed at most for each rule and field; all are counted.
    """
    counts = frame.select(
        pl.len().alias("rows"),
        *(rule.broken.sum().alias(str(number)) for number, rule in enumerate(rules)),
    ).collect(engine="streaming")
    rows, *broken_rows = counts.row(0)
    broken = [(rule, n) for rule, n in zip(rules, broken_rows, strict=True) if n]
    of_rows = [(rule, n) for rule, n in broken if set(rule.needed) & set(present)]
    of_columns = [(rule, n) for rule, n in broken if not set(rule.needed) & set(present)]
    listings = pl.collect_all(
        [_listing(frame, rule, listed_per_rule) for rule, _ in of_rows], engine="streaming"
    )
    faults = [
        Faults.of(_row_faults(listing, rule, file), counted)
        for (rule, counted), listing in zip(of_rows, listings, strict=True)
    ]
    absent = {rule.field: _column_fault(rule, counted, file) for rule, counted in of_columns}
    return Evaluation(
        rows=rows,
        faults=Faults.merged(Faults.of(list(absent.values())), *faults),
        set_aside=_set_aside(frame, [rule for rule, _ in broken if rule.severity == "error"]),
        blanked=tuple(rule for rule, _ in of_rows if rule.blanks),
    )


def _listing(frame: pl.LazyFrame, rule: Rule, limit: int) -> pl.LazyFrame:
    shown = [
        pl.col(name).cast(pl.String).alias(f"value_{place}")
        for place, name in enumerate((rule.original or rule.field, *rule.beside))
    ]
    return frame.filter(rule.broken).select(ROW, *shown).bottom_k(limit, by=ROW).sort(ROW)


def _row_faults(listing: pl.DataFrame, rule: Rule, file: str) -> list[Fault]:
    faults = []
    for row, value, *others in listing.iter_rows():
        mend = rule.mend + _hint(rule, value)
        if rule.blanks:
            mend += "; taken as missing"
        if rule.beside:
            told = (
                f"{name} = {'null' if other is None else masked(other)}"
                for name, other in zip(rule.beside, others, strict=True)
            )
            mend += f" ({', '.join(told)})"
        shown = None if value is None else masked(value)
        faults.append(Fault(file, row, rule.field, shown, rule.name, mend, rule.severity))
    return faults


def _hint(rule: Rule, value: str | None) -> str:
    if value is None or len(value) > SHOWN_CHARACTERS:
        return ""
    if rule.field.endswith("_adcode"):
        meant = region_names().get(folded(value))
    elif rule.name == "mixed_currency" or allowed_codes(rule.field):
        meant = meant_code(rule.field, value)
    else:
        return ""
    return f"; did you mean {meant!r}?" if meant and meant != value else ""


def _column_fault(rule: Rule, counted: int, file: str) -> Fault:
    rows = "1 row" if counted == 1 else f"{counted} rows"
    if rule.severity == "error":
        told = f"the column is absent and all its rows unusable: {rule.mend}"
    else:
        told = f"the column is absent, {rows}: {rule.mend}"
    return Fault(file, None, rule.field, None, "absent_column", told, rule.severity)


def _set_aside(frame: pl.LazyFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    if not rules:
        return pl.DataFrame(schema=SET_ASIDE_SCHEMA)
    named = [pl.when(rule.broken).then(pl.lit(f"{rule.name}: {rule.field}")) for rule in rules]
    return (
        frame.select(
            pl.col(ROW).cast(pl.Int64).alias("row"),
            "loan_id",
            pl.concat_str(named, separator="; ", ignore_nulls=True).alias("rules"),
        )
        .filter(pl.col("rules") != "")
        .sort("row")
        .collect(engine="streaming")
    )
