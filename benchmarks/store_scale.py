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

from features.ingest import ingest
from features.portfolio import read_portfolio, write_portfolio
from features.sources.simulated import simulate
from features.store import open_store

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


STEPS: dict[str, Callable[[Path, int], object]] = {
    "make": make,
    "first night": lambda folder, loans: take(folder, 0),
    "next night": lambda folder, loans: take(folder, 1),
    "same night again": lambda folder, loans: take(folder, 1),
    "verify and read": lambda folder, loans: read(folder),
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
