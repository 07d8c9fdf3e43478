"""Faults found in tables: what was wrong, where, and how to mend it; listed and counted by rule."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, Self

import polars as pl

Severity = Literal["error", "warning"]

# An error sets its row aside; a warning leaves the row usable.
FAULT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "file": pl.String(),
    "row": pl.Int64(),
    "field": pl.String(),
    "value": pl.String(),
    "rule": pl.String(),
    "mend": pl.String(),
    "severity": pl.String(),
}
TALLY_SCHEMA: Final[dict[str, pl.DataType]] = {
    "file": pl.String(),
    "rule": pl.String(),
    "field": pl.String(),
    "severity": pl.String(),
    "faults": pl.Int64(),
}
SHOWN_CHARACTERS: Final = 80

# A resident identity number holds its birth date; a mainland mobile number starts with 13 to 19.
# Both stand alone, so that digits inside a hashed identifier are not taken for one.
_LEFT: Final = r"(^|[^0-9A-Za-z])"
_RIGHT: Final = r"($|[^0-9A-Za-z])"
_IDENTITY: Final = r"([1-9]\d{5})(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9Xx]"
_MOBILE: Final = r"(1[3-9]\d)\d{4}(\d{4})"
PERSONAL_PATTERN: Final = f"{_LEFT}(?:{_IDENTITY}|{_MOBILE}){_RIGHT}"


def masked(value: str) -> str:
    """Return `value` with identity and mobile numbers made unreadable, cut to a short length.

    Examples
    --------
    >>> masked("110101199003071234")
    '110101************'
    >>> masked("tel 13812345678")
    'tel 138****5678'
    """
    value = re.sub(_LEFT + _IDENTITY + _RIGHT, r"\1\2************\3", value)
    value = re.sub(_LEFT + _MOBILE + _RIGHT, r"\1\2****\3\4", value)
    return value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Parameters
    ----------
    file : str
        Name of the file the value stands in.
    row : int, optional
        1-based data row; None for a fault of a whole column or file.
    field : str, optional
        Column name; None for a fault of the file.
    value : str, optional
        The offending value as text, personal numbers masked; None where it is missing.
    rule : str
        Name of the broken rule, by which faults are counted.
    mend : str
        What to do about it.
    severity : {"error", "warning"}
        An error sets the row aside, a warning leaves it usable.
    """

    file: str
    row: int | None
    field: str | None
    value: str | None
    rule: str
    mend: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = [self.file]
        if self.row is not None:
            place.append(f"row {self.row}")
        if self.field is not None:
            place.append(self.field)
        value = "" if self.value is None else f" {self.value!r}"
        return f"{', '.join(place)}:{value} {self.rule}: {self.mend}"


@dataclass(frozen=True)
class Faults:
    """All faults of a check.

    Parameters
    ----------
    listed : pl.DataFrame
        Columns of `FAULT_SCHEMA`; at most a fixed number of rows for each rule and field.
    tally : pl.DataFrame
        Columns of `TALLY_SCHEMA`: every fault counted, listed or not.
    """

    listed: pl.DataFrame
    tally: pl.DataFrame

    @classmethod
    @cache
    def none(cls) -> Self:
        """Return an empty account."""
        return cls(pl.DataFrame(schema=FAULT_SCHEMA), pl.DataFrame(schema=TALLY_SCHEMA))

    @classmethod
    def of(cls, faults: Sequence[Fault], counted: int | None = None) -> Self:
        """Return an account of `faults`.

        Parameters
        ----------
        faults : sequence of Fault
        counted : int, optional
            How many there are, when `faults` lists only the first of them; they must then share
            file, rule, field and severity.
        """
        if not faults:
            return cls.none()
        listed = pl.DataFrame([vars(fault) for fault in faults], schema=FAULT_SCHEMA)
        tally = listed.group_by("file", "rule", "field", "severity", maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("faults")
        )
        if counted is not None:
            tally = tally.with_columns(pl.lit(counted, dtype=pl.Int64).alias("faults"))
        return cls(listed, tally)

    @classmethod
    def merged(cls, *parts: "Faults") -> Self:
        """Return one account of several, in order of file, row and field."""
        told = [part for part in parts if part.tally.height]
        if not told:
            return cls.none()
        listed = pl.concat([part.listed for part in told])
        tally = pl.concat([part.tally for part in told])
        return cls(
            listed.sort("file", "row", "field", nulls_last=False, maintain_order=True),
            tally.group_by("file", "rule", "field", "severity", maintain_order=True).agg(
                pl.col("faults").sum()
            ),
        )

    @classmethod
    def of_source(cls, listed: pl.DataFrame, severity: Severity = "warning") -> Self:
        """Return an account of the faults a source reader hands over, which have no severity."""
        if "severity" not in listed.columns:
            listed = listed.with_columns(pl.lit(severity).alias("severity"))
        return cls.of([Fault(**row) for row in listed.select(list(FAULT_SCHEMA)).to_dicts()])

    def counts(self) -> dict[str, int]:
        """Return how often each rule was broken, the most frequent first."""
        by_rule = self.tally.group_by("rule", maintain_order=True).agg(pl.col("faults").sum())
        return dict(by_rule.sort("faults", descending=True, maintain_order=True).iter_rows())

    def number(self, severity: Severity) -> int:
        """Return the number of faults of a severity."""
        return int(self.tally.filter(pl.col("severity") == severity)["faults"].sum())

    def messages(self, limit: int | None = None) -> list[str]:
        """Return the listed faults as plain lines, errors first, at most `limit`."""
        ordered = self.listed.sort("severity", maintain_order=True)
        shown = ordered if limit is None else ordered.head(limit)
        return [str(Fault(**row)) for row in shown.to_dicts()]

    def renumbered(self, row_numbers: pl.Series) -> Self:
        """Return the account with row r replaced by `row_numbers[r - 1]`, the file's own number."""
        own = row_numbers.cast(pl.Int64).gather(self.listed["row"].drop_nulls() - 1)
        position = pl.col("row").is_not_null().cum_sum().cast(pl.Int64) - 1
        renumbered = self.listed.with_columns(
            pl.when(pl.col("row").is_not_null())
            .then(pl.lit(own).gather(position.clip(0)) if len(own) else None)
            .alias("row")
        )
        return type(self)(renumbered, self.tally)
