"""Wall time and memory of the portfolio store by step, from 10,000 to 1,000,000 loans.

    python -m benchmarks.store_scale FOLDER [LOANS ...]

Each step is a process of its own, so that its peak memory is its own. Simulated loans have about
five postings each; every posting is told in four parts, which makes twenty.
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl

from features.horizons import HORIZONS_MONTHS, rate_column
from features.ingest import ingest
from features.portfolio import read_portfolio, write_portfolio
from features.sources.simulated import simulate
from features.store import open_store
from models.monitoring import LiveForecasts, monitor
from models.package_distribution import SharedRisk
from service.identifiers import KeyedHash
from service.known_cash import KnownCash

NIGHTS = (date(2024, 12, 31), date(2025, 1, 31))
PARTS = 4


def make(folder: Path, loans: int) -> int:
    for number, until in enumerate(NIGHTS):
        simulate(folder / "whole", loans, 7, until)
        whole = read_portfolio(folder / "whole")
        amounts = ("gross_amount", "collateral_amount", "cost_amount")
        parts = [
            whole.ledger.with_columns(
                (pl.col(name) / PARTS for name in amounts),
                recorded_at=pl.col("recorded_at") + pl.duration(seconds=part),
            )
            for part in range(PARTS)
        ]
        write_portfolio(folder / f"night{number}", whole.meta, whole.tape, pl.concat(parts))
        shutil.rmtree(folder / "whole")
    return int(read_portfolio(folder / "night0").ledger.select(pl.len()).collect().item())


def take(folder: Path, night: int) -> object:
    return ingest(read_portfolio(folder / f"night{night}"), folder / "store").counts


def read(folder: Path) -> object:
    store = open_store(folder / "store")
    store.verify()
    portfolio = store.portfolio(learnable=True)
    # Streamed through to a file, as a consumer larger than memory would.
    portfolio.tape.sink_parquet(folder / "tape.parquet")
    portfolio.ledger.sink_parquet(folder / "ledger.parquet")
    return {}


def follow(folder: Path) -> object:
    """What `GET /v1/packages/{id}/monitoring` does for a package of 10,000 loans."""
    known = KnownCash.of(open_store(folder / "store"), KeyedHash(b"key"))
    began = time.perf_counter()
    rates = {rate_column(h): pl.lit(0.3 * (1 - 0.5 ** (h / 12))) for h in HORIZONS_MONTHS}
    loans = known.portfolio.tape.filter(pl.col("snapshot_date") > date(2022, 12, 31)).select(
        "loan_id",
        pl.col("asset_class").cast(pl.String),
        package_id=pl.lit("P"),
        model_version=pl.lit("1"),
        cut_off_date="snapshot_date",
        ead="principal_outstanding",
        region="borrower_adcode",
        **rates,
    )
    live = LiveForecasts.of(loans.head(10_000).collect(), known.portfolio)
    for month in live.booked_months:
        monitor(live.to_date(month), known.lumps, SharedRisk.none())
    return {"later, s": round(time.perf_counter() - began, 2), "months": len(live.booked_months)}


STEPS: dict[str, Callable[[Path, int], object]] = {
    "make": make,
    "first night": lambda folder, loans: take(folder, 0),
    "next night": lambda folder, loans: take(folder, 1),
    "same night again": lambda folder, loans: take(folder, 1),
    "verify and read": lambda folder, loans: read(folder),
    "follow a package": lambda folder, loans: follow(folder),
}


def main() -> None:
    if len(sys.argv) > 3 and sys.argv[1] == "--step":
        began = time.perf_counter()
        told = STEPS[sys.argv[2]](Path(sys.argv[3]), int(sys.argv[4]))
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"s": round(seconds, 1), "GB": round(memory, 2), "told": told}))
        return
    folder = Path(sys.argv[1])
    for loans in map(int, sys.argv[2:] or ["10000", "100000", "1000000"]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for step in STEPS:
            program = [sys.executable, "-m", "benchmarks.store_scale", "--step", step]
            ran = subprocess.run(
                [*program, str(folder), str(loans)], check=True, capture_output=True, text=True
            )
            print(f"{loans:>9,} {step:<18} {ran.stdout.strip()}", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
