"""Example loans made up from what is usual in a portfolio: real in shape, and nobody's.

No row of the tape is copied. Each field is a quantile or a common value of an asset class by
itself: of twenty loans or more, amounts in two digits, days at the first of a month, and never an
identifier.
"""

from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from features.pipeline import MIN_LEVEL_LOANS
from features.portfolio import Portfolio
from features.rules import AGE_FIELDS
from features.tape import Tape
from models.bundle import Bundle
from models.example_scores import with_examples
from models.examples import Field, Row

# A cautious and a generous loan of each class.
_PLACES: Final = (0.25, 0.75)
_NEEDED: Final = (
    "principal_outstanding",
    "interest_outstanding",
    "origination_date",
    *AGE_FIELDS,
)


def with_typical_examples(bundle: Bundle, portfolio: Portfolio) -> Bundle:
    """The bundle with example loans of its training portfolio, and what its model says of them.

    Two loans of each asset class, one that tells no more than it must, and one with cash.

    Raises
    ------
    BundleError
        As `models.example_scores.with_examples`.
    """
    extra = [field.name for field in bundle.model.spec.extra_fields]
    tape = portfolio.tape.select(*_fields(portfolio.tape), *extra).collect(engine="streaming")
    day = tape["snapshot_date"].max()
    assert isinstance(day, date)
    sizes = tape["asset_class"].value_counts().sort("count", "asset_class", descending=True)
    drafts: list[Row] = []
    for name, count in sizes.rows():
        if count >= MIN_LEVEL_LOANS or not drafts:
            of_class = tape.filter(pl.col("asset_class") == name)
            drafts += [_typical(of_class, place, day) for place in _PLACES]
    usual = drafts[-1] if len(drafts) == 1 else drafts[1]
    drafts += [{name: value for name, value in usual.items() if _must(name, extra)}, usual]
    nothing = dict.fromkeys(extra)
    loans = [_named(nothing | draft, n, bundle, day) for n, draft in enumerate(drafts, 1)]
    return with_examples(bundle, loans, _cash(loans[-1], day))


def _fields(tape: pl.LazyFrame) -> list[str]:
    """Fields that say something of a loan and not which loan it is."""
    about = {name: (column.metadata or {})["group"] for name, column in Tape.columns().items()}
    known = tape.collect_schema().names()
    own = [name for name, group in about.items() if group not in ("key", "outcome")]
    return [name for name in (*own, "originator", "snapshot_date") if name in known]


def _must(name: str, extra: list[str]) -> bool:
    column = Tape.columns().get(name)
    return name in (*_NEEDED, *extra) or (column is not None and not column.nullable)


def _typical(tape: pl.DataFrame, place: float, day: date) -> Row:
    """One value for each field that half of the loans have, and for what a loan must have."""
    found: Row = {}
    for column in tape.drop("snapshot_date"):
        known = column.drop_nulls()
        usual = 2 * len(known) >= len(column) or column.name in _NEEDED
        if usual and len(known) >= min(MIN_LEVEL_LOANS, len(column)):
            found[column.name] = _value(column, tape["snapshot_date"], place, day)
    return {name: value for name, value in found.items() if value is not None}


def _value(column: pl.Series, cut_off: pl.Series, place: float, day: date) -> Field:
    if column.dtype == pl.Date:
        # The same place among the distances of every date: the dates keep their order.
        days = (cut_off - column).dt.total_days().quantile(place, "nearest")
        return (day - timedelta(days=int(days or 0))).replace(day=1).isoformat()
    if column.dtype == pl.Boolean:
        share: Any = column.mean()
        return bool(share >= 1 - place)
    if column.dtype.is_float():
        return float(f"{column.quantile(place, 'nearest'):.2g}")
    if column.dtype.is_integer():
        return int(column.quantile(place, "nearest") or 0)
    counts = column.cast(pl.String).drop_nulls().value_counts()
    common = counts.filter(pl.col("count") >= MIN_LEVEL_LOANS)
    ordered = common.sort(["count", column.name], descending=[True, False])[column.name].to_list()
    return str(ordered[min(_PLACES.index(place), len(ordered) - 1)]) if ordered else None


def _named(draft: Row, number: int, bundle: Bundle, day: date) -> Row:
    name = f"ex-{number}"
    return draft | {
        "loan_id": name,
        "borrower_id": name,
        "package_id": "ex",
        "source_system": bundle.portfolio.source_system,
        "snapshot_date": day.isoformat(),
    }


def _cash(loan: Row, day: date) -> list[Row]:
    """Two payments of a fiftieth each, in the months before the cut-off."""
    original = loan["original_amount"]
    assert isinstance(original, float)
    months = [(day.replace(day=1) - timedelta(days=days)).replace(day=1) for days in (20, 80)]
    return [
        {
            "loan_id": loan["loan_id"],
            "period": month.isoformat(),
            "gross_amount": float(f"{original / 50:.2g}"),
            "cost_amount": 0.0,
            "route": "collection",
            "recorded_at": f"{month.isoformat()}T12:00:00",
        }
        for month in months
    ]
