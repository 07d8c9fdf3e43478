"""A night: what is new, what drifted, a challenger trained, judged, promoted or refused.

Steps are journalled one by one under `nights/<night>/` of the store. A night is named by what it
works on: the store's last commit and the settings. The same night run twice finds its result and
changes nothing; a killed one goes on where it was.
"""

from datetime import date
from pathlib import Path
from typing import Any, Final

from features.locking import exclusive
from features.store import open_store
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME
from training import night_steps as steps
from training.night import LOCK_FILE, REPORT, Night, Progress
from training.night_settings import NightSettings
from training.tuned import Tuned

RESULT: Final = "result"


def run_night(
    folder: Path,
    mlflow: Store,
    settings: NightSettings,
    *,
    name: str = DEFAULT_NAME,
    tuned: Tuned | None = None,
    forced: bool = False,
    as_of: date | None = None,
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
    as_of : date, optional
        The night of an earlier day, as the store knew it then.
    tell : callable, optional
        Called with the name of each step as it begins.

    Returns
    -------
    tuple of (dict, dict)
        The result, the same however often the night was killed; and seconds by step of this run.

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
        store = open_store(folder)
        store = store if as_of is None else store.as_of(as_of)
        night = Night(store, mlflow, name, settings, tuned, forced, tell)
        return _steps(night), night.seconds


def _steps(night: Night) -> dict[str, Any]:
    changes = night.step("1-changes", lambda: steps.find_changes(night))
    drift = night.step("2-drift", lambda: steps.find_drift(night, changes))
    due = night.step("3-due", lambda: steps.find_due(night, changes, drift))
    trained: dict[str, Any] = {}
    verdict: dict[str, Any] = {}
    if due["due"]:
        trained = night.step("4-train", lambda: steps.train_challenger(night, changes, drift))
        verdict = night.step("5-gate", lambda: steps.judge_challenger(night, changes))
        trained |= night.step("6-register", lambda: steps.register_challenger(night, trained))
    decided = night.step("7-decide", lambda: steps.carry_out(night, changes, due, trained, verdict))
    parts = {
        "changes": changes, "drift": drift, "due": due, "trained": trained, "gate": verdict,
    }  # fmt: skip
    night.step("8-report", lambda: steps.write_report(night, parts, decided))
    return night.step(RESULT, lambda: _result(night, parts, decided))


def _result(night: Night, parts: dict[str, Any], decided: dict[str, Any]) -> dict[str, Any]:
    return {
        "night": night.identity,
        "outcome": decided["outcome"],
        "reason": parts["gate"].get("reason", "nothing is due"),
        "store_commit": night.store.last.number,
        "observed_until_date": parts["changes"]["observed_until_date"],
        "loans": parts["changes"]["loans"],
        "due": parts["due"]["reasons"],
        "drift_alarms": parts["drift"]["alarms"],
        "challenger_version": parts["trained"].get("version"),
        "bundle_version": parts["trained"].get("bundle_version"),
        "champion_version": decided["champion_version"],
        "gate_figures": parts["gate"].get("figures", {}),
        "report": str(night.journal.folder / REPORT),
    }
