"""A night: what is new, what drifted, a challenger trained, judged, promoted or refused.

Steps are journalled one by one under `nights/<night>/` of the store. A night is named by what it
works on: the store's last commit and the settings. The same night run twice finds its result and
changes nothing; a killed one goes on where it was.
"""

from pathlib import Path
from typing import Any

from features.locking import exclusive
from features.store import open_store
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME
from training import night_steps as steps
from training.night import LOCK_FILE, REPORT, RESULT, Night, Progress, end_dead_runs
from training.night_backtest import backtest_challenger
from training.night_settings import NightSettings
from training.night_tuning import STEP as SEARCH
from training.night_tuning import search_settings
from training.tuned import Tuned


def run_night(
    folder: Path,
    mlflow: Store,
    settings: NightSettings,
    *,
    name: str = DEFAULT_NAME,
    tuned: Tuned | None = None,
    forced: bool = False,
    tell: Progress = lambda _: None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a night, or go on with one, or find that it is done.

    Parameters
    ----------
    folder : Path
        The portfolio store.
    mlflow : Store
        MLflow's store of runs and models.
    settings : NightSettings
        When to train, what drift is, and the gate.
    name : str
        Registered model.
    tuned : Tuned, optional
        Settings of a search; by default the champion's.
    forced : bool
        Train whether due or not.
    tell : callable, optional
        Called with the name of each step as it begins.

    Returns
    -------
    tuple of (dict, dict)
        The result, the same however often the night was killed, its `backtest_report` told from
        the night's folder on; and seconds by step of this run.

    Raises
    ------
    LockedError
        When another night is at work on the store.
    PortfolioStoreError, StoreError, RegistryError, TrainingError
        When the store, the registry or the data cannot be used; the champion stays as it is.
    """
    # Read first: a folder that is no store is told as such, and gets no lock.
    open_store(folder)
    with exclusive(folder / LOCK_FILE, "npl retrain"):
        end_dead_runs(folder, mlflow)
        night = Night(open_store(folder), mlflow, name, settings, tuned, forced, tell)
        return _steps(night), night.seconds


def _steps(night: Night) -> dict[str, Any]:
    changes = night.step("1-changes", lambda: steps.find_changes(night))
    drift = night.step("2-drift", lambda: steps.find_drift(night, changes))
    due = night.step("3-due", lambda: steps.find_due(night, changes, drift))
    parts: dict[str, Any] = {"changes": changes, "drift": drift, "due": due}
    parts |= {"tuned": {}, "trained": {}, "gate": {}, "backtest": {}}
    if due["due"]:
        parts |= _challenge(night, changes, drift)
    decided = night.step("9-decide", lambda: steps.carry_out(night, parts))
    night.step("10-report", lambda: steps.write_report(night, parts, decided))
    return night.step(RESULT, lambda: _result(night, parts, decided))


def _challenge(night: Night, changes: dict[str, Any], drift: dict[str, Any]) -> dict[str, Any]:
    tuned = night.step(SEARCH, lambda: search_settings(night))
    trained = night.step(
        "5-train", lambda: steps.train_challenger(night, changes, drift, tuned)
    )  # fmt: skip
    verdict = night.step("6-gate", lambda: steps.judge_challenger(night, changes))
    trained |= night.step("7-register", lambda: steps.register_challenger(night, trained))
    report = night.step("8-backtest", lambda: backtest_challenger(night, verdict))
    return {"tuned": tuned, "trained": trained, "gate": verdict, "backtest": report}


def _result(night: Night, parts: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    backtest = parts["backtest"]
    return {
        "night": night.identity,
        "outcome": decided["outcome"],
        "reason": decided["reason"],
        "store_commit": night.store.last.number,
        "observed_until_date": parts["changes"]["observed_until_date"],
        "loans": parts["changes"]["loans"],
        "due": parts["due"]["reasons"],
        "drift_alarms": parts["drift"]["alarms"],
        "challenger_version": parts["trained"].get("version"),
        "bundle_version": parts["trained"].get("bundle_version"),
        "champion_version": decided["champion_version"],
        "gate_figures": parts["gate"].get("figures", {}),
        "backtest_light": backtest.get("light"),
        "backtest_report": backtest.get("report"),
        "report": str(night.journal.folder / REPORT),
    }
