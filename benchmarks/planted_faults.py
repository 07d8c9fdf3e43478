"""Faults planted in simulated portfolios, and whether a backtest finds them.

    python -m benchmarks.planted_faults [SEEDS] [LOANS]     # against the simulator's expectation
    python -m benchmarks.planted_faults engine [LOANS]       # by the whole backtest, one portfolio

Three faults: a province whose cash falls short of an unbiased forecast by a known factor from one
vintage on, cash that comes later from one vintage on, and a field computed from the outcome.

What a 15% optimistic bias is: the realised cash of that province from that vintage on is divided by
1.15, so that a forecast that was right is 15% too high; nothing else changes, postings and closings
included. The simulator's quarter and province shocks stay: a province's level varies by about a
tenth from quarter to quarter anyway. So the fault is seen over many quarters, each a cluster.
"""

import sys
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from features.age import CUT_OFF
from features.check import check_portfolio
from features.horizons import HORIZONS_MONTHS
from features.months import month_number
from features.portfolio import ExtraField, Portfolio, read_portfolio
from features.segments import DIMENSIONS, segment_frame
from features.sources.simulated import TRUTH_FOLDER, simulate
from training.backtest import backtest
from training.backtest_loans import actual_column, forecast_column, loans_at
from training.correction_fit import FitPlan, Origin, propose_corrections
from training.validation.segment_deviations import segment_deviations
from training.validation.timing import TimingShift, timing_shift

REGION: Final = "CN-GD"
# A forecast that was right is so much too high.
OPTIMISM: Final = 0.15
SINCE: Final = date(2018, 1, 1)
# The last vintage, which no correction is fitted on.
FOLLOWING: Final = date(2024, 1, 1)
LATE_MONTHS: Final = 6
MONTHS: Final = 24
LEAKED: Final = "collector_score"
# All workouts of the simulator are over by then.
_ALL_KNOWN: Final = date(2030, 6, 30)


def biased(portfolio: Portfolio, region: str, since: date, optimism: float) -> Portfolio:
    """Cash after the cut-off of a region's loans, from a vintage on, divided by 1 + `optimism`."""
    segments = segment_frame(portfolio.tape, portfolio.ledger, portfolio.meta.recovery_basis)
    hit = segments.filter(pl.col("region") == region, pl.col(CUT_OFF) >= since)
    scaled = [
        pl.when(pl.col("hit"))
        .then((pl.col(name) / (1 + optimism)).round(2))
        .otherwise(name)
        .alias(name)
        for name in ("gross_amount", "cost_amount", "collateral_amount")
    ]
    ledger = (
        portfolio.ledger.join(
            hit.lazy().select("loan_id", CUT_OFF), on="loan_id", how="left", maintain_order="left"
        )
        .with_columns(hit=_after_cut_off().fill_null(False))
        .with_columns(scaled)
        .drop("hit", CUT_OFF)
    )
    return portfolio.with_tables(portfolio.tape, ledger.collect().lazy())


def late(portfolio: Portfolio, since: date, months: int) -> Portfolio:
    """Cash after the cut-off, from a vintage on, so many months later; within the workout."""
    dates = portfolio.tape.select("loan_id", "snapshot_date").filter(
        pl.col("snapshot_date") >= since
    )
    whole = portfolio.meta.max_workout_months or 0
    after = month_number(pl.col("period")) - month_number(pl.col(CUT_OFF))
    moved = pl.min_horizontal(months, pl.max_horizontal(whole - after, 0))
    by = pl.format("{}mo", pl.when(_after_cut_off().fill_null(False)).then(moved).otherwise(0))
    ledger = (
        portfolio.ledger.join(
            dates.rename({"snapshot_date": CUT_OFF}),
            on="loan_id",
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.col("period").dt.offset_by(by), pl.col("recorded_at").dt.offset_by(by))
        .drop(CUT_OFF)
    )
    closed = pl.col("closed_date").dt.offset_by(f"{months}mo")
    tape = portfolio.tape.with_columns(
        pl.when(pl.col("snapshot_date") >= since)
        .then(closed)
        .otherwise("closed_date")
        .alias("closed_date")
    )
    return portfolio.with_tables(tape.collect().lazy(), ledger.collect().lazy())


def leaked(portfolio: Portfolio, noise: float, seed: int) -> Portfolio:
    """Tape with a field that is the cash to date over the claim, with noise: known too late."""
    loans = loans_at(portfolio)
    rng = np.random.default_rng(seed)
    known = loans["recovery_rate_to_date"].fill_null(0.0)
    values = pl.Series(LEAKED, known.to_numpy() + rng.normal(0.0, noise, loans.height))
    told = ExtraField(
        name=LEAKED, type="number", meaning_en="score of the collector", meaning_zh="催收评分"
    )
    meta = portfolio.meta.model_copy(update={"extra_fields": (*portfolio.meta.extra_fields, told)})
    tape = portfolio.tape.collect().with_columns(values)
    return replace(portfolio, meta=meta, tape=tape.lazy())


def _after_cut_off() -> pl.Expr:
    return month_number(pl.col("period")) > month_number(pl.col(CUT_OFF))


def truth_table(portfolio: Portfolio, since: date, months: int) -> pl.DataFrame:
    """Loans from a vintage on: what the simulator expected of them, and what came.

    The expectation is the mean over the shocks, so it is unbiased and knows no shock. A loan counts
    as one, whatever its claim: a province's money lies in a few large claims.
    """
    assert portfolio.path is not None
    truth = pl.read_parquet(portfolio.path / TRUTH_FOLDER / "truth.parquet")
    loans = loans_at(portfolio).filter(pl.col("vintage_date") >= since)
    return (
        loans.join(
            truth.select("loan_id", forecast_rate=f"prior_rate_{months}"), on="loan_id", how="left"
        )
        .with_columns(
            ead_amount=pl.lit(1.0),
            actual_rate=pl.col(actual_column(months)),
            quarter=pl.col("vintage_date").dt.truncate("1q"),
            vintage="vintage_date",
            cut_off_date="vintage_date",
            horizon_months=pl.lit(months, dtype=pl.Int32),
        )
        .drop_nulls(["forecast_rate", "actual_rate"])
        .sort("loan_id")
    )


def flagged(table: pl.DataFrame) -> list[tuple[str, str]]:
    """Segments that the report would flag."""
    found = segment_deviations(table, DIMENSIONS, "quarter").filter("flagged")
    return list(found.select("dimension", "level").iter_rows())


def shift(portfolio: Portfolio, since: date) -> TimingShift:
    """Deviation in amount and in timing of all loans from a vintage on, against the truth."""
    assert portfolio.path is not None
    truth = pl.read_parquet(portfolio.path / TRUTH_FOLDER / "truth.parquet")
    loans = (
        loans_at(portfolio)
        .filter(pl.col("vintage_date") >= since)
        .join(truth, on="loan_id", how="left")
        .sort("loan_id")
    )
    actual = loans.select(map(actual_column, HORIZONS_MONTHS)).to_numpy()
    forecast = loans.select(f"prior_rate_{h}" for h in HORIZONS_MONTHS).to_numpy()
    quarter = loans["vintage_date"].dt.truncate("1q").to_numpy()
    found = timing_shift(HORIZONS_MONTHS, actual, forecast, quarter)
    assert found is not None
    return found


def correction(table: pl.DataFrame) -> dict[str, Any]:
    """Fit on the vintages before the last, as known then, and what it removes on the last."""
    plan = FitPlan(
        dimensions=("region",), before=FOLLOWING, first_vintage=SINCE, horizon_months=MONTHS
    )
    origin = Origin(
        data_hash="simulated",
        model_version="truth",
        proposed_by="benchmark",
        reason="planted",
        proposed_on=FOLLOWING,
    )
    proposals = propose_corrections(table, plan, origin)
    factors = {one.conditions["region"]: one.factor for one in proposals}
    factor = factors.get(REGION, 1.0)
    last = table.filter(pl.col("vintage") >= FOLLOWING, pl.col("region") == REGION)
    forecast, actual = (float(last[f"{n}_rate"].to_numpy().sum()) for n in ("forecast", "actual"))
    # Of the fault itself, the share that the factor takes off an unbiased forecast.
    fault = 1 - 1 / (1 + OPTIMISM)
    return {
        "factor": factor,
        "removed": 1 - abs(factor - 1 / (1 + OPTIMISM)) / fault,
        "before": actual / forecast - 1,
        "after": actual / (forecast * factor) - 1,
        "other_corrections": len(set(factors) - {REGION}),
    }


def one_seed(seed: int, loans: int) -> dict[str, Any]:
    """All that one simulated portfolio shows of the first two faults."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "portfolio"
        simulate(folder, loans, seed, _ALL_KNOWN)
        sound = read_portfolio(folder)
        control = truth_table(sound, SINCE, MONTHS)
        table = truth_table(biased(sound, REGION, SINCE, OPTIMISM), SINCE, MONTHS)
        found = flagged(table)
        on_time, later = shift(sound, SINCE), shift(late(sound, SINCE, LATE_MONTHS), SINCE)
        return {
            "seed": seed,
            "control_flags": len(flagged(control)),
            "control_named": _named(flagged(control)),
            "found": ("region", REGION) in found,
            "elsewhere": len([one for one in found if one != ("region", REGION)]),
            "elsewhere_named": _named([one for one in found if one != ("region", REGION)]),
            **correction(table),
            "control_late_months": on_time.late_months,
            "control_timing": on_time.timing_deviates,
            "control_amount": on_time.amount_deviates,
            "late_months": later.late_months,
            "late_timing": later.timing_deviates,
            "late_amount": later.amount_deviates,
            "late_amount_moved": later.amount_rate - on_time.amount_rate,
        }


def by_the_engine(loans: int, seed: int) -> dict[str, Any]:
    """The bias and the leak through the whole backtest: the model's own forecasts, one training.

    Levels of the simulator drift by asset class and year, so a model of the end of 2017 is really
    off elsewhere too. What the fault adds is what is flagged beside the flags of the sound ledger.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "portfolio"
        simulate(folder, loans, seed, _ALL_KNOWN)
        sound = read_portfolio(folder)
        tables = {
            name: engine_table(portfolio)
            for name, portfolio in (
                ("sound", sound),
                ("biased", biased(sound, REGION, SINCE, OPTIMISM)),
            )
        }
        flags = {name: set(flagged(table)) for name, table in tables.items()}
        small = Path(scratch) / "small"
        simulate(small, 5_000, seed)
        found = backtest(check_portfolio(leaked(read_portfolio(small), 0.05, seed)))
        return {
            "flags_sound": sorted(flags["sound"]),
            "added": sorted(flags["biased"] - flags["sound"]),
            "gone": sorted(flags["sound"] - flags["biased"]),
            "correction": correction(tables["biased"]),
            "leaks": found.features.filter("leak_flag")["feature"].to_list(),
            "strongest_honest": found.features.filter(~pl.col("leak_flag"))["power_r2"].max(),
        }


def engine_table(portfolio: Portfolio) -> pl.DataFrame:
    """Original forecasts of the model of the day before `SINCE`; a loan counts as one."""
    found = backtest(check_portfolio(portfolio), days=[SINCE - timedelta(days=1)])
    return (
        found.originals.with_columns(
            ead_amount=pl.lit(1.0),
            forecast_rate=pl.col(forecast_column(MONTHS)),
            actual_rate=pl.col(actual_column(MONTHS)),
            quarter=pl.col("vintage_date").dt.truncate("1q"),
            vintage="vintage_date",
            cut_off_date="vintage_date",
            horizon_months=pl.lit(MONTHS, dtype=pl.Int32),
        )
        .drop_nulls(["forecast_rate", "actual_rate"])
        .sort("loan_id")
    )


def _named(segments: list[tuple[str, str]]) -> str:
    return "; ".join(level for _, level in segments)


def main(seeds: int, loans: int) -> None:
    rows = [one_seed(seed, loans) for seed in range(101, 101 + seeds)]
    frame = pl.DataFrame(rows)
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=240):
        print(frame)
        print(frame.select(pl.exclude("seed", "^.*_named$").cast(pl.Float64).mean()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["engine"]:
        for name, value in by_the_engine(int((*sys.argv[2:], "100000")[0]), 101).items():
            print(name, value)
    else:
        main(*map(int, sys.argv[1:3] if len(sys.argv) > 2 else ("30", "100000")))
