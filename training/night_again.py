"""A past night done again, apart from store and registry, to see that it comes to the same."""

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from features.store import open_store
from models import registry
from models.bundle import Bundle, read_bundle
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME, ModelReference
from training import night_steps as steps
from training.errors import TrainingError
from training.night import BUNDLE, NIGHTS, RESULT, Night, Progress
from training.night_journal import NightJournal
from training.night_settings import NightSettings
from training.tuned import Tuned

# Steps that are done again and whose figures are compared; of step 5 it is the bundle.
REPEATED: Final = ("1-changes", "2-drift", "3-due", "6-gate")
_READ: Final = ("4-tune", RESULT)


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
    Compared are figures, settings and all that the bundle holds, but for the code's commit and the
    versions of libraries: other code that comes to the same is no difference.

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
            found = first.get("4-tune", {"searched": False, "reused": None})
            night.step("5-train", lambda: _fitted(night, changes, drift, found))
            again["6-gate"] = night.step("6-gate", lambda: steps.judge_challenger(night, changes))
        differs = [step for step in REPEATED if again.get(step) != first.get(step)]
        bundle, own = (_bundle(place) for place in (night.bundle_folder, night.own_folder / BUNDLE))
        if _content(bundle) != _content(own):
            differs.append("bundle")
    return {
        "night": night.identity,
        "same": not differs,
        "differs": differs,
        "bundle_version": None if bundle is None else bundle.version,
        "outcome": first[RESULT]["outcome"],
    }


def _fitted(
    night: Night, changes: dict[str, Any], drift: dict[str, Any], found: dict[str, Any]
) -> dict[str, Any]:
    steps.fit_challenger(night, changes, drift, found)
    return {}


def _bundle(folder: Path) -> Bundle | None:
    return read_bundle(folder) if folder.exists() else None


def _content(bundle: Bundle | None) -> str | None:
    """Hash of all that a bundle holds, whatever code made it."""
    if bundle is None:
        return None
    told = bundle.provenance.model_copy(update={"git_commit": None, "versions": {}})
    return replace(bundle, provenance=told).version


def _entries(night: Night) -> dict[str, dict[str, Any]]:
    """Entries of the night's own journal."""
    own = night.own_folder
    if not (own / f"{RESULT}.json").exists():
        done = sorted(path.parent.name for path in own.parent.glob(f"*/{RESULT}.json"))
        raise TrainingError(
            f"{own}: no night of that day was done with these settings; give those it was done"
            f" with. Done in {NIGHTS}/: {', '.join(done) or 'none'}"
        )
    journal = NightJournal(own)
    found = {name: journal.found(name) for name in (*REPEATED, *_READ)}
    return {name: entry for name, entry in found.items() if entry is not None}
