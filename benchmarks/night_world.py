"""A bank's nights, compressed: what each month end would deliver, with a change of regime.

Deliveries are cut from one simulated portfolio: loans and postings known at a month end, workouts
closed by then. From a chosen month on cash follows another law: secured workouts bring `secured`
times what they would, unsecured ones `unsecured` times.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from features.portfolio import Portfolio, read_portfolio, write_portfolio
from features.sources.simulated import simulate


@dataclass(frozen=True)
class Regime:
    """Cash from `first_month` on, times a factor by kind of claim."""

    first_month: date
    secured: float
    unsecured: float


def month_ends(last: date, count: int) -> list[date]:
    """Month ends up to `last`, oldest first."""
    days = []
    for _ in range(count):
        days.append(last)
        last = last.replace(day=1) - timedelta(days=1)
    return days[::-1]


def whole_world(folder: Path, loans: int, seed: int, regime: Regime | None) -> Portfolio:
    """Everything that will ever be known, the regime in force from its month on."""
    simulate(folder, loans, seed, date(2024, 12, 31))
    world = read_portfolio(folder)
    if regime is None:
        return world
    secured = world.tape.select("loan_id", secured=pl.col("appraised_value").is_not_null())
    factor = pl.when(pl.col("secured")).then(regime.secured).otherwise(regime.unsecured)
    changed = pl.when(pl.col("period") >= regime.first_month).then(factor).otherwise(1.0)
    amounts = ("gross_amount", "collateral_amount", "cost_amount")
    ledger = (
        world.ledger.join(secured, on="loan_id", how="left", maintain_order="left")
        .with_columns((pl.col(name) * changed).round(2) for name in amounts)
        .drop("secured")
    )
    return world.with_tables(world.tape, ledger)


def deliver(world: Portfolio, night: date, folder: Path) -> Portfolio:
    """Write what is known on a night as a portfolio folder."""
    closed = pl.col("closed_date") <= night
    tape = world.tape.filter(pl.col("snapshot_date") <= night).with_columns(
        closed_date=pl.when(closed).then("closed_date"),
        disposal_status=pl.when(closed)
        .then(pl.col("disposal_status").cast(pl.String))
        .otherwise(pl.lit("open")),
    )
    ledger = world.ledger.filter(pl.col("recorded_at").dt.date() <= night)
    ledger = ledger.join(tape.select("loan_id"), on="loan_id", how="semi")
    meta = world.meta.model_copy(update={"observed_until_date": night})
    write_portfolio(folder, meta, tape, ledger)
    return read_portfolio(folder)
