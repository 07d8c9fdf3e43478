"""Holding a table against its rules: all faults counted, the first listed, bad rows found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from features.column_types import ROW
from features.faults import SHOWN_CHARACTERS, Fault, Faults, masked
from features.frames import AnyFrame, collected
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


@dataclass(frozen=True)
class RuleSet:
    """Rules of a table, some of which need no row to be decided.

    Parameters
    ----------
    rules : tuple of Rule
    settled : mapping of int to bool
        By place in `rules`: whether a rule that reads nothing but absent columns is broken, in
        every row alike.
    """

    rules: tuple[Rule, ...]
    settled: Mapping[int, bool]

    @cached_property
    def counts(self) -> list[pl.Expr]:
        """Rows, and the broken rows of each rule that is not settled, in order."""
        opened = (rule for n, rule in enumerate(self.rules) if n not in self.settled)
        # A sum leaves nulls out: what is neither kept nor broken counts as kept.
        sums = (rule.holds.not_().sum().alias(str(n)) for n, rule in enumerate(opened))
        return [pl.len().alias("rows"), *sums]

    @classmethod
    def of(cls, rules: Sequence[Rule], absent: Collection[str], schema: pl.Schema) -> "RuleSet":
        """Settle what the absent columns of a table decide.

        Parameters
        ----------
        rules : sequence of Rule
        absent : collection of str
            Columns that are null throughout.
        schema : polars.Schema
            Types of the columns.
        """
        missing = frozenset(absent)
        places = [n for n, r in enumerate(rules) if missing.issuperset(r.broken.meta.root_names())]
        nulls = pl.DataFrame({name: [None] for name in absent}, {n: schema[n] for n in absent})
        if not places or nulls.is_empty():
            return cls(tuple(rules), {})
        broken = nulls.select(rules[n].broken.any().alias(str(n)) for n in places).row(0)
        return cls(tuple(rules), dict(zip(places, broken, strict=True)))


def evaluate(
    frame: AnyFrame,
    rule_set: RuleSet,
    present: Sequence[str],
    file: str,
    listed_per_rule: int,
) -> Evaluation:
    """Hold a table against rules; rows are looked at one by one only where a rule is broken.

    Parameters
    ----------
    frame : pl.LazyFrame or pl.DataFrame
        `ROW`, `loan_id` and every column the rules read.
    rule_set : RuleSet
    present : sequence of str
        Columns the file really has: a rule without any of its columns is a fault of the file.
    file : str
        Name of the file, for the faults.
    listed_per_rule : int
        Faults listed at most for each rule and field; all are counted.
    """
    rules, settled = rule_set.rules, rule_set.settled
    rows, *counted = collected(frame.select(rule_set.counts)).row(0)
    found = iter(counted)
    broken_rows = [rows * settled[n] if n in settled else next(found) for n in range(len(rules))]
    broken = [(rule, n) for rule, n in zip(rules, broken_rows, strict=True) if n]
    if not broken:
        return Evaluation(rows, Faults.none(), pl.DataFrame(schema=SET_ASIDE_SCHEMA), ())
    of_rows = [(rule, n) for rule, n in broken if set(rule.needed) & set(present)]
    of_columns = [(rule, n) for rule, n in broken if not set(rule.needed) & set(present)]
    listings = pl.collect_all(
        [_listing(frame.lazy(), rule, listed_per_rule) for rule, _ in of_rows], engine="streaming"
    )
    faults = [
        Faults.of(_row_faults(listing, rule, file), counted)
        for (rule, counted), listing in zip(of_rows, listings, strict=True)
    ]
    absent = {rule.field: _column_fault(rule, counted, file) for rule, counted in of_columns}
    return Evaluation(
        rows=rows,
        faults=Faults.merged(Faults.of(list(absent.values())), *faults),
        set_aside=_set_aside(
            frame.lazy(), [rule for rule, _ in broken if rule.severity == "error"]
        ),
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
