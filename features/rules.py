"""What a rule is, and the rules of single fields: limits of a schema, extra fields, any text.

A rule whose expression is null holds: missing values have rules of their own. The rules that span
fields are in `features.tape_rules` and `features.ledger_rules`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final

import dataframely as dy
import polars as pl

from features.faults import PERSONAL_PATTERN, Severity
from features.portfolio import ExtraField, PortfolioMeta, RecoveryBasis

AGE_FIELDS: Final = ("default_date", "first_overdue_date", "days_past_due")
_EARLIEST, _LATEST = date(1950, 1, 1), date(2100, 12, 31)
# The replacement character, its GB18030 reading, and runs of Latin-1 as Chinese bytes give them.
_GARBLED: Final = "\ufffd|锟斤拷|[\u0080-\u00ff]{4,}"


@dataclass(frozen=True)
class Rule:
    """One rule of a table.

    Parameters
    ----------
    name : str
        What faults are counted by.
    field : str
        The column a fault is reported at.
    holds : pl.Expr
        True, or null, where the rule is kept.
    mend : str
        What to do about a broken one.
    severity : {"error", "warning"}
        An error sets the row aside.
    blanks : bool
        Of a warning: the value of `field` is taken as missing.
    columns : tuple of str
        Columns the rule needs; when the file has none of them the fault is the column's, reported
        once. `field` alone by default.
    beside : tuple of str
        Further fields whose values the message gives.
    original : str
        Column that holds the value as the file has it, where that is not `field`.
    """

    name: str
    field: str
    holds: pl.Expr
    mend: str
    severity: Severity = "error"
    blanks: bool = False
    columns: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    original: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns without which the rule is a fault of the file, not of its rows."""
        return self.columns or (self.field,)

    @cached_property
    def broken(self) -> pl.Expr:
        """True where the rule is broken, never null."""
        return self.holds.fill_null(True).not_()


@dataclass(frozen=True)
class Expected:
    """What a tape is checked against, beyond the schema.

    Parameters
    ----------
    recovery_basis : {"claim", "principal", "original_amount"}
        Decides which amounts must be known.
    extra_fields : tuple of ExtraField
        Further columns that must be there.
    currency : str, optional
        The one currency allowed; by default the most frequent one of the tape.
    observed_until_date : date, optional
        Last day anything can have been known.
    source_system : str, optional
        The source the rows must name.
    """

    recovery_basis: RecoveryBasis = "claim"
    extra_fields: tuple[ExtraField, ...] = ()
    currency: str | None = None
    observed_until_date: date | None = None
    source_system: str | None = None

    @classmethod
    def of(cls, meta: PortfolioMeta) -> "Expected":
        """Return what the description of a portfolio promises of its tape."""
        return cls(
            meta.recovery_basis,
            meta.extra_fields,
            meta.currency,
            meta.observed_until_date,
            meta.source_system,
        )


def is_vital(name: str, column: dy.Column) -> bool:
    """Whether a bad value of the field sets its row aside instead of being taken as missing.

    So it is for required fields, money of the loan, the age of the default and outcomes: a loan
    valued without them would be valued wrongly. Any other bad value is reported and treated as
    unknown, as a borrower's income is.
    """
    about: dict[str, Any] = column.metadata or {}
    return (
        about["need"] == "R"
        or (about.get("unit") == "currency" and about.get("group") != "borrower")
        or about.get("group") == "outcome"
        or name in AGE_FIELDS
    )


def always_vital(_name: str, _column: dy.Column) -> bool:
    """Every bad value sets its row aside: cash is right or it is not."""
    return True


def limit_rules(
    columns: dict[str, dy.Column], vital_field: Callable[[str, dy.Column], bool] = is_vital
) -> Iterator[Rule]:
    """Yield the rules of single fields that a dataframely schema holds."""
    for name, column in columns.items():
        vital = vital_field(name, column)
        kept: dict[str, Any] = {"severity": "error" if vital else "warning", "blanks": not vital}
        for kind, holds in column.validation_rules(pl.col(name)).items():
            rule, mend = _limit(column, kind)
            if kind.startswith(("min", "max")) and column.dtype.is_float():
                # NaN sorts above every number: not_finite reports it, once.
                holds = holds | pl.col(name).is_finite().not_()  # noqa: PLW2901
            yield Rule(rule, name, holds, mend, **kept)
        if column.dtype == pl.Date:
            yield Rule(
                "implausible_date",
                name,
                pl.col(name).is_between(_EARLIEST, _LATEST),
                f"give a date from {_EARLIEST} to {_LATEST}, or leave it empty",
                **kept,
            )


def _limit(column: dy.Column, kind: str) -> tuple[str, str]:
    about: dict[str, Any] = column.metadata or {}
    if kind == "nullability":
        return "missing_value", "give a value: the field is required"
    if kind == "min_length":
        return "missing_value", "give a value, or null where there is none"
    if kind == "regex":
        return "malformed_code", f"write it as {about.get('allowed') or about.get('unit')}"
    if kind in ("inf", "nan"):
        return "not_finite", "give a finite number, or null where there is none"
    if kind.startswith("check__"):
        return f"not_{kind.removeprefix('check__')}", "give the first day of the month"
    low, above = getattr(column, "min", None), getattr(column, "min_exclusive", None)
    high = getattr(column, "max", None)
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">=", low), (">", above), ("<=", high))
        if bound is not None
    ]
    mend = f"give a value {' and '.join(bounds)}"
    if about.get("unit") == "currency":
        return "bad_amount", mend
    if about.get("unit") == "ratio" and high == 1:
        mend += ": a fraction, so 0.8 and not 80 for 80%"
    return "out_of_range", mend


def extra_rules(extra_fields: tuple[ExtraField, ...]) -> Iterator[Rule]:
    """Yield the rules of the fields declared in `portfolio.toml`."""
    for extra in extra_fields:
        column = pl.col(extra.name)
        if extra.type == "number":
            yield Rule(
                "not_finite",
                extra.name,
                column.is_finite(),
                "give a finite number, or null where there is none",
                "warning",
                blanks=True,
            )
        if extra.levels:
            yield Rule(
                "undeclared_level",
                extra.name,
                column.is_in(extra.levels),
                f"use one of {', '.join(extra.levels)}, or declare the level in portfolio.toml",
                "warning",
                blanks=True,
            )


def text_rules(names: list[str]) -> Iterator[Rule]:
    """Yield the rules every text column keeps: readable characters and no personal numbers."""
    for name in names:
        yield Rule(
            "garbled_text",
            name,
            pl.col(name).str.contains(_GARBLED).not_(),
            "the text was read in the wrong encoding: export the source again as UTF-8 or GB18030",
            "warning",
        )
        yield Rule(
            "personal_data",
            name,
            pl.col(name).str.contains(PERSONAL_PATTERN).not_(),
            "looks like personal data (an identity or mobile number): replace it by a keyed hash",
            "warning",
        )
