"""Bad batches that must never be promoted, and nights killed at random moments.

    python -m benchmarks.night_faults batches FOLDER [LOANS]
    python -m benchmarks.night_faults kills FOLDER [LOANS] [KILLS]

Batches: a champion knows 2022; from March 2023 on cash follows another law, so that a challenger of
September 2024 wins where nothing is planted. The night is forced clean, and with a batch planted in
the last delivery: amounts of the new loans off by 10,000, cash dealt to the wrong loans, a column
that knows what was recovered. Kills: a champion of May 2024, and a night of September 2024 in a
program of its own that is killed (SIGKILL) after a random time, again and again, and then left to
end; its result, registry and record are compared with those of a night left alone.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.night_world import Regime, deliver, whole_world
from features.errors import FeaturesError
from features.ingest import ingest
from features.portfolio import ExtraField, Portfolio, read_portfolio, write_portfolio
from features.store import open_store
from models import registry
from models.mlflow_store import Store
from training.decision_log import read_decisions
from training.errors import TrainingError
from training.night import DECISIONS
from training.night_settings import BacktestSettings, NightSettings
from training.nightly import run_night

BEFORE, THEN, NOW = date(2022, 12, 31), date(2024, 5, 31), date(2024, 9, 30)
REGIME = Regime(date(2023, 3, 1), secured=0.4, unsecured=0.6)
QUICK = NightSettings(backtest=BacktestSettings(most_loans=0))
LEAK = ExtraField(
    name="collector_note_score",
    type="number",
    meaning_en="score of the collector's notes",
    meaning_zh="催收记录评分",
)


def found(folder: Path, loans: int, day: date, regime: Regime | None) -> Portfolio:
    """A store that knows a day and a champion trained on it; the world it is cut from."""
    shutil.rmtree(folder, ignore_errors=True)
    world = whole_world(folder / "world", loans, 7, regime)
    take(deliver(world, day, folder / "first"), folder, day)
    run_night(folder / "store", Store.in_folder(folder / "mlruns"), QUICK)
    return world


def take(delivery: Portfolio, folder: Path, day: date) -> None:
    moment = datetime(day.year, day.month, day.day, 22, tzinfo=UTC)
    ingest(delivery, folder / "store", known_at=moment)


def units(delivery: Portfolio) -> Portfolio:
    """The loans cut off since May are told in 万元."""
    money = [
        name
        for name, dtype in delivery.tape.collect_schema().items()
        if dtype == pl.Float64 and name.endswith(("amount", "outstanding", "value", "income"))
    ]
    new = pl.col("snapshot_date") > THEN
    wrong = delivery.tape.with_columns(
        pl.when(new).then(pl.col(name) / 10_000).otherwise(pl.col(name)).alias(name)
        for name in money
    )
    return delivery.with_tables(wrong, delivery.ledger)


def shuffled(delivery: Portfolio) -> Portfolio:
    """Cash since May is booked to other loans of the same cut-off month."""
    loans = delivery.tape.select("loan_id", "snapshot_date").sort("snapshot_date", "loan_id")
    dealt = loans.collect().with_columns(
        other=pl.col("loan_id").shuffle(seed=1).over("snapshot_date")
    )
    new = pl.col("recorded_at").dt.date() > THEN
    moved = (
        delivery.ledger.join(dealt.lazy().select("loan_id", "other"), on="loan_id")
        .with_columns(loan_id=pl.when(new).then("other").otherwise("loan_id"))
        .drop("other")
        .unique(["loan_id", "period", "route", "recorded_at"], maintain_order=True)
    )
    return delivery.with_tables(delivery.tape, moved)


def leaked(delivery: Portfolio, world: Portfolio) -> Portfolio:
    """A new column that knows what every loan has brought, and will bring."""
    paid = world.ledger.group_by("loan_id").agg(
        (pl.col("gross_amount") - pl.col("cost_amount")).sum().alias("paid")
    )
    tape = (
        delivery.tape.join(paid, on="loan_id", how="left", maintain_order="left")
        .with_columns((pl.col("paid").fill_null(0.0) / pl.col("original_amount")).alias(LEAK.name))
        .drop("paid")
    )
    return Portfolio(
        delivery.meta.model_copy(update={"extra_fields": (*delivery.meta.extra_fields, LEAK)}),
        tape,
        delivery.ledger,
    )


def batches(folder: Path, loans: int) -> None:
    world = found(folder / "clean", loans, BEFORE, REGIME)
    take(deliver(world, THEN, folder / "then"), folder / "clean", THEN)
    plants: dict[str, Callable[[Portfolio], Portfolio]] = {
        "clean": lambda p: p,
        "units off by 10,000": units,
        "shuffled labels": shuffled,
        "leaked column": lambda p: leaked(p, world),
    }
    good = deliver(world, NOW, folder / "now")
    for number, (name, plant) in enumerate(plants.items()):
        # MLflow keeps a database open by its path: each try has one of its own.
        own = folder / f"try{number}"
        shutil.rmtree(own, ignore_errors=True)
        shutil.copytree(folder / "clean" / "store", own / "store")
        (own / "mlruns").mkdir()
        shutil.copyfile(folder / "clean" / "mlruns" / "mlflow.db", own / "mlruns" / "mlflow.db")
        bad = plant(good)
        write_portfolio(own / "bad", bad.meta, bad.tape, bad.ledger)
        try:
            take(read_portfolio(own / "bad"), own, NOW)
            mlflow = Store.in_folder(own / "mlruns")
            result, _ = run_night(own / "store", mlflow, QUICK, forced=True)
            told = f"{result['outcome']}: {result['reason']}; drift: {result['drift_alarms']}"
        except FeaturesError as error:
            told = f"refused by the store: {str(error).splitlines()[0]}"
        except TrainingError as error:
            told = f"not trained: {error}"
        print(f"{name:<22}{told}", flush=True)


NIGHT = """
import sys
from pathlib import Path
from models.mlflow_store import Store
from training.night_settings import NightSettings
from training.nightly import run_night
folder = Path(sys.argv[1])
run_night(folder / "store", Store.in_folder(folder / "mlruns"), NightSettings(), forced=True)
"""


def kills(folder: Path, loans: int, count: int) -> None:
    world = found(folder / "alone", loans, THEN, None)
    take(deliver(world, NOW, folder / "now"), folder / "alone", NOW)
    killed = folder / "killed"
    shutil.rmtree(killed, ignore_errors=True)
    shutil.copytree(folder / "alone" / "store", killed / "store")
    (killed / "mlruns").mkdir()
    shutil.copyfile(folder / "alone" / "mlruns" / "mlflow.db", killed / "mlruns" / "mlflow.db")
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", NIGHT, str(folder / "alone")], check=True)
    whole = time.perf_counter() - began
    chance = random.Random(7)
    done = 0
    while done < count:
        program = subprocess.Popen([sys.executable, "-c", NIGHT, str(killed)])
        try:
            program.wait(chance.uniform(0.0, whole))
        except subprocess.TimeoutExpired:
            program.send_signal(signal.SIGKILL)
            program.wait()
            done += 1
            continue
        # The night ended before its kill: its record goes, and it is killed anew.
        night = next((killed / "store" / "nights").glob("000001-*"))
        (night / "result.json").unlink()
        for step in chance.sample(["6-gate", "7-register", "9-decide", "10-report"], 2):
            (night / f"{step}.json").unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", NIGHT, str(killed)], check=True)
    compare(folder / "alone", killed, done, whole)


def compare(alone: Path, killed: Path, done: int, whole: float) -> None:
    def known(folder: Path) -> dict[str, Any]:
        night = next((folder / "store" / "nights").glob("000001-*"))
        result = json.loads((night / "result.json").read_text())
        result.pop("report")
        open_store(folder / "store").verify()
        return {
            "result": result,
            "report": (night / "report.md").read_text(),
            "decisions": [
                (d["outcome"], d["version"]) for d in read_decisions(folder / "store" / DECISIONS)
            ],
            "versions": [
                (v.version, v.aliases, v.bundle_version)
                for v in registry.versions(Store.in_folder(folder / "mlruns"))
            ],
            "left aside": [str(p) for p in (folder / "store").rglob(".*")],
        }

    first, second = known(alone), known(killed)
    same = {name: first[name] == second[name] for name in first}
    print(f"{done} kills of a night of {whole:.0f} s: same {same}")
    if not all(same.values()):
        print(first, second, sep="\n")
        sys.exit(1)


if __name__ == "__main__":
    what, place, *numbers = sys.argv[1:]
    size = int(numbers[0]) if numbers else 3_000
    if what == "batches":
        batches(Path(place), size)
    else:
        kills(Path(place), size, int(numbers[1]) if len(numbers) > 1 else 30)
