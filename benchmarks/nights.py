"""Two years of nights in one run: is a change of regime noticed, and does the loop gain by it?

    python -m benchmarks.nights FOLDER [LOANS] [SEED]

Month ends of 2023 and 2024, one night each; from October 2023 (month 10) on, secured workouts bring
0.4 and unsecured ones 0.6 times what they would. Prints a line a night, and at the end the errors,
the Poisson deviance and the deviation of cash of the last six months: the champion of each month's
eve against the first one, frozen.
"""

import json
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from sklearn.metrics import mean_poisson_deviance

from benchmarks.night_world import Regime, deliver, month_ends, whole_world
from features.ingest import ingest
from features.recent_cash import Window, loans_in
from features.store import open_store
from models import registry
from models.mlflow_store import Store
from models.recovery import RecoveryModel
from models.reference import DEFAULT_NAME, ModelReference
from training.night_settings import NightSettings
from training.nightly import run_night
from training.recent_cash import expected_in

REGIME = Regime(date(2023, 10, 1), secured=0.4, unsecured=0.6)
LAST = date(2024, 12, 31)
NIGHTS, JUDGED = 24, 6


def main(folder: Path, loans: int, seed: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    world = whole_world(folder / "world", loans, seed, REGIME)
    mlflow = Store.in_folder(folder / "mlruns")
    in_force: list[int] = []
    for number, day in enumerate(month_ends(LAST, NIGHTS), start=1):
        delivery = deliver(world, day, folder / "delivery")
        moment = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
        ingest(delivery, folder / "store", known_at=moment)
        result, seconds = run_night(folder / "store", mlflow, NightSettings())
        in_force.append(result["champion_version"])
        told = {k: result[k] for k in ("outcome", "reason", "due", "champion_version")}
        told["seconds"] = {step: round(took, 1) for step, took in seconds.items() if took > 1}
        print(f"month {number:2} {day} {json.dumps(told)}", flush=True)
    judge(folder, mlflow, in_force)


def judge(folder: Path, mlflow: Store, in_force: list[int]) -> None:
    now = open_store(folder / "store").portfolio(learnable=True)
    last = LAST.year * 12 + LAST.month
    figures: dict[str, list[np.ndarray]] = {"frozen": [], "in force": []}
    actual: list[np.ndarray] = []
    eads: list[np.ndarray] = []
    for month in range(last - JUDGED + 1, last + 1):
        loans = loans_in(now, Window(month, month), 10**6)
        # The champion that was in force when the month began.
        version = in_force[NIGHTS - 1 - (last - month) - 1]
        for name, number in (("frozen", in_force[0]), ("in force", version)):
            model: RecoveryModel = registry.load(
                mlflow, ModelReference(DEFAULT_NAME, number, None)
            ).model
            figures[name].append(expected_in(model, now, loans).window_rate)
        actual.append(loans["actual_rate"].to_numpy())
        eads.append(loans["ead_amount"].to_numpy())
    came, ead = np.concatenate(actual), np.concatenate(eads)
    for name, parts in figures.items():
        forecast = np.concatenate(parts)
        rmse = float(np.sqrt(np.mean((came - forecast) ** 2)))
        mae = float(np.mean(np.abs(came - forecast)))
        money = float((came * ead).sum() / (forecast * ead).sum() - 1)
        rate = float(came.sum() / forecast.sum() - 1)
        loss = mean_poisson_deviance(np.maximum(came, 0), np.maximum(forecast, 1e-6))
        print(
            f"{name:>9}: rmse {rmse:.5f} mae {mae:.5f} deviance {loss:.5f}"
            f" deviation of cash {money:+.1%}, by loan {rate:+.1%}"
        )


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(
        Path(arguments[0]),
        int(arguments[1]) if len(arguments) > 1 else 6_000,
        int(arguments[2]) if len(arguments) > 2 else 7,
    )
