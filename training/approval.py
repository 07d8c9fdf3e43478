"""Decisions by hand: approve or reject what the gate held, and go back to the former champion."""

from pathlib import Path
from typing import Any, Final, Literal

from features.locking import exclusive
from features.store import open_store
from models import registry
from models.mlflow_store import Store
from models.reference import CHAMPION, DEFAULT_NAME, ModelReference
from training.decision_log import add_decision, read_decisions
from training.errors import TrainingError
from training.night import DECISIONS, LOCK_FILE

Verdict = Literal["approved", "rejected"]
_SETTLES: Final[dict[str, Verdict]] = {"approve": "approved", "reject": "rejected"}


def settle(
    folder: Path,
    mlflow: Store,
    verdict: Literal["approve", "reject"],
    by: str,
    reason: str,
    name: str = DEFAULT_NAME,
) -> dict[str, Any]:
    """Approve or reject the last challenger of a model that was held.

    Parameters
    ----------
    folder : Path
        The portfolio store, which keeps the record.
    mlflow : Store
        Where models are registered.
    verdict : {"approve", "reject"}
        An approved challenger becomes champion.
    by, reason : str
        Who answers for it, and why; neither may be empty.
    name : str
        Registered model.

    Returns
    -------
    dict
        The decision as it stands in the record.

    Raises
    ------
    TrainingError
        When nothing is held, or by or reason are empty.
    LockedError, StoreError, RegistryError
        When a night is at work, or the registry cannot be used.
    """
    _require(by, reason)
    open_store(folder)
    log = folder / DECISIONS
    with exclusive(folder / LOCK_FILE, "npl decide"):
        own = [entry for entry in read_decisions(log) if entry["model"] == name]
        held = [entry for entry in own if entry["outcome"] == "held"]
        settled = {entry.get("settles") for entry in own}
        if not held or held[-1]["id"] in settled:
            raise TrainingError(f"{folder}: no challenger of {name} is held for a decision")
        # A later champion was trained on more: the held one was passed by.
        if own[-1]["id"] != held[-1]["id"]:
            raise TrainingError(
                f"{folder}: version {held[-1]['version']} was held, and decisions were taken since;"
                " run the night again"
            )
        version = held[-1]["version"]
        reference = ModelReference(name, version, None)
        if verdict == "approve":
            champion = registry.show(mlflow, ModelReference(name, None, CHAMPION)).of
            if champion.version != version:
                registry.promote(mlflow, reference)
        return add_decision(
            log,
            {
                "id": f"{held[-1]['id']}-{_SETTLES[verdict]}",
                "outcome": _SETTLES[verdict],
                "model": name,
                "version": version,
                "settles": held[-1]["id"],
                "reason": reason,
                "by": by,
            },
        )


def roll_back(
    folder: Path, mlflow: Store, by: str, reason: str, name: str = DEFAULT_NAME
) -> dict[str, Any]:
    """Make the former champion the champion again, on the record.

    Parameters and errors are those of `settle`.
    """
    _require(by, reason)
    open_store(folder)
    log = folder / DECISIONS
    with exclusive(folder / LOCK_FILE, "npl decide"):
        number = len(read_decisions(log))
        left = registry.show(mlflow, ModelReference(name, None, CHAMPION)).of.version
        champion = registry.rollback(mlflow, name)
        return add_decision(
            log,
            {
                "id": f"rollback-{number}",
                "outcome": "rolled_back",
                "model": name,
                "version": champion.version,
                "former_champion": left,
                "reason": reason,
                "by": by,
            },
        )


def _require(by: str, reason: str) -> None:
    if not by.strip() or not reason.strip():
        raise TrainingError("give who decides and why: neither --by nor --reason may be empty")
