"""A past night done again, apart from store and registry, to see that it comes to the same."""

import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any, Final

from features.store import open_store
from models import registry
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME, ModelReference
from training import night_steps as steps
from training.errors import TrainingError
from training.night import NIGHTS, Night, Progress
from training.night_settings import NightSettings
from training.tuned import Tuned

# Steps that are done again. The others write down what these found.
REPEATED: Final = ("1-changes", "2-drift", "3-due", "6-gate")


def repeat_night(
    folder: Path,
    mlflow: Store,
    settings: NightSettings,
    as_of: date,
    *,
    name: str = DEFAULT_NAME,
    tuned: Tuned | None = None,
    forced: bool = False,
    tell: Progress = lambda _: None,
) -> dict[str, Any]:
    """Do the night of an earlier day again from what the store knew then, and change nothing.

    It is held against the champion of that night. A search is not repeated: what it found is read.

    Parameters
    ----------
    folder : Path
        The portfolio store, grown since or not.
    mlflow : Store
        Where the champion of that night is registered.
    settings : NightSettings
        Those of that night.
    as_of : date
        Its day.
    name, tuned, forced, tell
        As `training.nightly.run_night`; those of that night.

    Returns
    -------
    dict
        `night`, `same`, `differs` (what came out otherwise), `bundle_version` (None where nothing
        was trained) and `outcome`.

    Raises
    ------
    TrainingError
        When no such night was done to its end.
    PortfolioStoreError, StoreError, RegistryError
        When the store or the registry cannot be used.
    """
    store = open_store(folder).as_of(as_of)
    with tempfile.TemporaryDirectory() as scratch:
        night = Night(store, mlflow, name, settings, tuned, forced, tell, apart=Path(scratch))
        first = _entries(night)
        version = first["1-changes"]["champion_version"]
        champion = None
        if version is not None:
            champion = registry.show(mlflow, ModelReference(name, version, None)).of
        again: dict[str, Any] = {}
        again["1-changes"] = night.step("1-changes", lambda: steps.changes_since(night, champion))
        changes = again["1-changes"]
        drift = again["2-drift"] = night.step("2-drift", lambda: steps.find_drift(night, changes))
        due = again["3-due"] = night.step("3-due", lambda: steps.find_due(night, changes, drift))
        if due["due"]:
            found = first.get("4-tune", {"searched": False})
            again["5-train"] = night.step(
                "5-train",
                lambda: {
                    "bundle_version": steps.fit_challenger(
                        night, changes, drift, found
                    ).bundle.version
                },
            )
            again["6-gate"] = night.step(
                "6-gate", lambda: steps.judge_challenger(night, changes)
            )  # fmt: skip
    differs = [step for step in REPEATED if again.get(step) != first.get(step)]
    bundles = [told.get("5-train", {}).get("bundle_version") for told in (again, first)]
    if bundles[0] != bundles[1]:
        differs.append("bundle")
    return {
        "night": night.identity,
        "same": not differs,
        "differs": differs,
        "bundle_version": bundles[0],
        "outcome": first["result"]["outcome"],
    }


def _entries(night: Night) -> dict[str, Any]:
    """Entries of the night's own journal."""
    own = night.own_folder
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in own.glob("*.json")
        if path.stem == "result" or path.stem[0].isdigit()
    }
    if "result" not in found:
        done = sorted(path.parent.name for path in own.parent.glob("*/result.json"))
        raise TrainingError(
            f"{own}: no night of that day was done with these settings; give those it was done"
            f" with. Done in {NIGHTS}/: {', '.join(done) or 'none'}"
        )
    return found
