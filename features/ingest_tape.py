"""The tape of a delivery against the loans a store knows, one cut-off month at a time."""

from pathlib import Path
from typing import Final

import polars as pl

from features.contradictions import Contradictions
from features.monthly import by_month, month_name, write_month
from features.portfolio import Portfolio, PortfolioMeta
from features.store import COMMIT, PortfolioStore
from features.tape import tape_dtypes

# What makes a loan that loan at that cut-off. All else may be corrected, or told later.
IMMUTABLE: Final = (
    "snapshot_date",
    "borrower_id",
    "package_id",
    "source_system",
    "borrower_type",
    "asset_class",
    "origination_date",
    "original_amount",
    "currency",
)
_MEND: Final = "correct it, or give another loan another loan_id"
_KNOWN: Final = "__known_"


def stage_tape(
    delivery: Portfolio,
    store: PortfolioStore | None,
    meta: PortfolioMeta,
    aside: Path,
    contradictions: Contradictions,
) -> dict[str, int]:
    """Write new loans and new versions of known ones under `aside/tape`, by month of the cut-off.

    Each month is held in memory by itself. `aside/superseded.parquet` names the replaced versions.

    Returns
    -------
    dict of str to int
        `new_loans`, `restated_loans`, `known_loans`.
    """
    number = len(store.commits) if store else 0
    if store is not None:
        _add_moved(delivery, store, contradictions)
    counts = dict.fromkeys(("new_loans", "restated_loans", "known_loans"), 0)
    replaced = []
    for month, told in by_month(delivery.tape, "snapshot_date", aside / "told_tape"):
        known = _known(store, meta, month) if store else None
        new = told if known is None else told.join(known, on="loan_id", how="anti")
        rows = [_with_every_field(new, meta)]
        counts["new_loans"] += new.height
        if known is not None and new.height < told.height:
            pairs = told.join(
                known, on="loan_id", how="inner", suffix=_KNOWN, maintain_order="left"
            )
            fields = [name for name in told.columns if name != "loan_id"]
            _add_changed(pairs, fields, contradictions)
            changed = pairs.filter(pl.any_horizontal(_differs(name) for name in fields))
            # A field that the delivery does not carry stays as it was known.
            rows.append(_with_every_field(changed, meta))
            replaced.append(changed.select("loan_id", COMMIT))
            counts["restated_loans"] += changed.height
            counts["known_loans"] += pairs.height - changed.height
        numbered = pl.concat(rows).with_columns(pl.lit(number, dtype=pl.Int32).alias(COMMIT))
        write_month(numbered, aside / "tape", month)
    superseded = pl.concat(replaced) if replaced else pl.DataFrame()
    if superseded.height:
        superseded.write_parquet(aside / "superseded.parquet")
    return counts


def _known(store: PortfolioStore, meta: PortfolioMeta, month: str) -> pl.DataFrame:
    """Known versions of the loans of a month; a field that comes only now is missing in them."""
    known = store.loan_versions(month).collect()
    later = [extra for extra in meta.extra_fields if extra.name not in known.columns]
    return known.with_columns(pl.lit(None, dtype=extra.dtype).alias(extra.name) for extra in later)


def _with_every_field(rows: pl.DataFrame, meta: PortfolioMeta) -> pl.DataFrame:
    dtypes = tape_dtypes() | {extra.name: extra.dtype for extra in meta.extra_fields}
    return rows.select(
        (pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype=dtype)).alias(
            name
        )
        for name, dtype in dtypes.items()
    )


def _differs(name: str) -> pl.Expr:
    return pl.col(name).ne_missing(pl.col(name + _KNOWN))


def _add_changed(pairs: pl.DataFrame, fields: list[str], contradictions: Contradictions) -> None:
    for name in IMMUTABLE:
        if name in fields:
            broken = pairs.filter(pl.col(name + _KNOWN).is_not_null() & _differs(name))
            contradictions.add(_account(broken, name), name, _MEND)


def _add_moved(delivery: Portfolio, store: PortfolioStore, contradictions: Contradictions) -> None:
    date = ["loan_id", "snapshot_date"]
    moved = (
        delivery.tape.select(date)
        .join(store.loan_versions().select(date), on="loan_id", how="inner", suffix=_KNOWN)
        # Another day of the same month is met where the month's rows are compared.
        .filter(month_name(pl.col("snapshot_date")) != month_name(pl.col("snapshot_date" + _KNOWN)))
        .sort("loan_id")
        .collect(engine="streaming")
    )
    contradictions.add(_account(moved, "snapshot_date"), "snapshot_date", _MEND)


def _account(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    return rows.select(
        pl.format("loan {}", "loan_id"),
        pl.col(name + _KNOWN).cast(pl.String),
        pl.col(name).cast(pl.String),
    )
