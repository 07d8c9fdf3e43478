"""Wall time and memory of a whole night by step, from 10,000 to 1,000,000 loans.

    python -m benchmarks.night_scale FOLDER [LOANS ...]

Simulated loans with about twenty postings each, told on two nights.
The first trains the first champion and backtests it; the second is forced, trains a challenger
and judges it. Each night is a process of its own; the peak of each step is what the system counted
since the step began (Linux), what the steps before still hold included.
"""

import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from benchmarks.night_world import deliver, whole_world
from benchmarks.store_scale import PARTS
from features.ingest import ingest
from features.portfolio import read_portfolio
from models.mlflow_store import Store
from training.night_settings import NightSettings
from training.nightly import run_night

NIGHTS = (date(2024, 8, 31), date(2024, 12, 31))


def make(folder: Path, loans: int) -> int:
    """Write both deliveries; the number of postings in the last."""
    world = whole_world(folder / "world", loans, 7, None)
    amounts = ("gross_amount", "collateral_amount", "cost_amount")
    parts = [
        world.ledger.with_columns(
            (pl.col(name) / PARTS for name in amounts),
            recorded_at=pl.col("recorded_at") + pl.duration(seconds=part),
        )
        for part in range(PARTS)
    ]
    told = world.with_tables(world.tape, pl.concat(parts))
    for number, day in enumerate(NIGHTS):
        delivered = deliver(told, day, folder / f"night{number}")
    return int(delivered.ledger.select(pl.len()).collect().item())


def take(folder: Path, night: int) -> None:
    day = NIGHTS[night]
    moment = datetime(day.year, day.month, day.day, 22, tzinfo=UTC)
    ingest(read_portfolio(folder / f"night{night}"), folder / "store", known_at=moment)


def peak_gigabytes() -> float:
    """Most memory held since the last `forget_peak`."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def night(folder: Path, number: int) -> None:
    """Do a night, and tell of each step as it ends."""
    at, began = [""], [time.perf_counter()]

    def tell(step: str) -> None:
        if at[0]:
            seconds = time.perf_counter() - began[0]
            print(f"  {at[0]:<12}{seconds:8.1f} s {peak_gigabytes():6.2f} GB", flush=True)
        forget_peak()
        at[0], began[0] = step, time.perf_counter()

    mlflow, settings = Store.in_folder(folder / "mlruns"), NightSettings()
    result, seconds = run_night(
        folder / "store", mlflow, settings, forced=number > 0, tell=tell
    )  # fmt: skip
    print(f"  {result['outcome']}, {sum(seconds.values()):.0f} s ({result['reason']})", flush=True)


def main() -> None:
    if sys.argv[1] == "--night":
        night(Path(sys.argv[2]), int(sys.argv[3]))
        return
    if sys.argv[1] == "--make":
        print(f"{int(sys.argv[3]):,} loans, {make(Path(sys.argv[2]), int(sys.argv[3])):,}"
              " postings", flush=True)  # fmt: skip
        return
    folder = Path(sys.argv[1])
    for loans in map(int, sys.argv[2:] or ["10000", "100000", "1000000"]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        program = [sys.executable, "-m", "benchmarks.night_scale"]
        subprocess.run([*program, "--make", str(folder), str(loans)], check=True)
        for number in range(len(NIGHTS)):
            print(f"night {number + 1}", flush=True)
            take(folder, number)
            subprocess.run([*program, "--night", str(folder), str(number)], check=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
