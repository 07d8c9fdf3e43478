"""The cash of a delivery against the postings a store knows, one month of cash at a time."""

from pathlib import Path
from typing import Final

import polars as pl

from features.contradictions import Contradictions
from features.ledger import Ledger
from features.ledger_rules import POSTING
from features.monthly import by_month, write_month
from features.portfolio import Portfolio
from features.store import PortfolioStore

_AMOUNTS: Final = ("gross_amount", "collateral_amount", "cost_amount")
_MONTH: Final = ["loan_id", "period"]
_ROUTE: Final = ["loan_id", "period", "route"]
_CENTS: Final = 100
_KNOWN: Final = "__known_"
_DTYPES: Final = {name: column.dtype for name, column in Ledger.columns().items()}
_REWRITTEN: Final = (
    "what was recorded is never altered: record the correction later, in a delivery that restates"
)


def stage_ledger(
    delivery: Portfolio,
    store: PortfolioStore | None,
    aside: Path,
    restates: bool,
    contradictions: Contradictions,
) -> dict[str, int]:
    """Write new postings and corrections under `aside/ledger`, by month of the cash.

    Each month is held in memory by itself. A correction is the difference to what was known, as a
    posting of its own recorded when the correction was: a fall of the gross amount is a cost, so
    that no amount is negative, the net is right, and what was known before stays readable.

    Returns
    -------
    dict of str to int
        `new_postings`, `corrected_postings`, `late_postings`, `known_postings`.
    """
    counts = dict.fromkeys(
        ("new_postings", "corrected_postings", "late_postings", "known_postings"), 0
    )
    undated_once = delivery.meta.recovery_timing == "none"
    for month, rows in by_month(delivery.ledger, "period", aside / "told_ledger"):
        told = _typed(rows)
        known = store.postings(month).collect() if store else told.clear()
        if not known.height:
            added, corrections = told, told.clear()
        elif restates:
            added, corrections = _restated(told, known, contradictions)
        else:
            added, corrections = _appended(told, known, contradictions), told.clear()
            if undated_once:
                _add_second_outcomes(added, known, contradictions)
        write_month(pl.concat([added, corrections]), aside / "ledger", month)
        counts["new_postings"] += added.height
        counts["corrected_postings"] += corrections.height
        counts["known_postings"] += told.height - added.height
        if store is not None:
            until = store.meta.observed_until_date
            counts["late_postings"] += int((added["recorded_at"].dt.date() <= until).sum())
    return counts


def _typed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None, dtype=dtype).alias(name))
        for name, dtype in _DTYPES.items()
    )


def _appended(
    told: pl.DataFrame, known: pl.DataFrame, contradictions: Contradictions
) -> pl.DataFrame:
    """Return the postings that are not known; a known one with other amounts contradicts."""
    key = list(POSTING)
    pairs = told.join(known, on=key, how="inner", nulls_equal=True, suffix=_KNOWN)
    for name in _AMOUNTS:
        other = pairs.filter(_cents(name).ne_missing(_cents(name + _KNOWN))).sort(key)
        contradictions.add(_account(other, name, name + _KNOWN), name, _REWRITTEN)
    return told.join(known, on=key, how="anti", nulls_equal=True, maintain_order="left")


def _restated(
    told: pl.DataFrame, known: pl.DataFrame, contradictions: Contradictions
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the postings of routes not known yet, and the differences of those told otherwise.

    A loan's month is told whole: a known route that is not told any more brought nothing.
    """
    fresh = told.join(known, on=_ROUTE, how="anti", nulls_equal=True, maintain_order="left")
    before = _sums(known.join(told, on=_MONTH, how="semi", nulls_equal=True))
    newest = told.group_by(_MONTH).agg(pl.col("recorded_at").max().alias("newest"))
    pairs = (
        before.rename({name: name + _KNOWN for name in (*_AMOUNTS, "recorded_at")})
        .join(_sums(told), on=_ROUTE, how="left", nulls_equal=True)
        .join(newest, on=_MONTH, how="inner", nulls_equal=True)
        .with_columns(
            pl.col(_AMOUNTS).fill_null(0), recorded_at=pl.coalesce("recorded_at", "newest")
        )
        .sort(_ROUTE)
    )
    changed = pairs.filter(pl.any_horizontal(pl.col(n) != pl.col(n + _KNOWN) for n in _AMOUNTS))
    newer = pl.col("recorded_at") > pl.col("recorded_at" + _KNOWN)
    for name in _AMOUNTS:
        stale = changed.filter(newer.not_(), pl.col(name) != pl.col(name + _KNOWN))
        contradictions.add(_account(stale, name, name + _KNOWN, 1 / _CENTS), name, _REWRITTEN)
    return fresh, _differences(changed.filter(newer))


def _sums(rows: pl.DataFrame) -> pl.DataFrame:
    """Return whole cents by loan, month and route, with the newest recording."""
    return rows.group_by(_ROUTE).agg(
        *(_cents(name).fill_null(0).sum().alias(name) for name in _AMOUNTS),
        pl.col("recorded_at").max(),
    )


def _differences(changed: pl.DataFrame) -> pl.DataFrame:
    gross, collateral, cost = (pl.col(n) - pl.col(n + _KNOWN) for n in _AMOUNTS)
    more = pl.max_horizontal(gross, 0) + pl.max_horizontal(-cost, 0)
    less = pl.max_horizontal(-gross, 0) + pl.max_horizontal(cost, 0)
    return changed.select(
        "loan_id",
        "period",
        gross_amount=more / _CENTS,
        collateral_amount=pl.max_horizontal(pl.min_horizontal(collateral, more), 0) / _CENTS,
        cost_amount=less / _CENTS,
        route="route",
        recorded_at="recorded_at",
    ).select(pl.col(name).cast(dtype) for name, dtype in _DTYPES.items())


def _add_second_outcomes(
    added: pl.DataFrame, known: pl.DataFrame, contradictions: Contradictions
) -> None:
    """An undated outcome is the ultimate one: a second one corrects, or is wrong."""
    pairs = added.filter(pl.col("period").is_null()).join(
        known, on="loan_id", how="inner", suffix=_KNOWN
    )
    contradictions.add(
        _account(pairs.sort("loan_id"), "gross_amount", "gross_amount" + _KNOWN),
        "a second ultimate outcome",
        "a correction comes in a delivery that restates",
    )


def _cents(name: str) -> pl.Expr:
    return (pl.col(name) * _CENTS).round().cast(pl.Int64)


def _account(rows: pl.DataFrame, now: str, before: str, unit: float = 1.0) -> pl.DataFrame:
    return rows.select(
        pl.format(
            "loan {}, {}, {}, recorded {}",
            "loan_id",
            pl.col("period").cast(pl.String).fill_null("undated"),
            pl.col("route").cast(pl.String),
            pl.col("recorded_at").cast(pl.String),
        ),
        (pl.col(before) * unit).cast(pl.String),
        (pl.col(now) * unit).cast(pl.String),
    )
