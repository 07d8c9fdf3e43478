"""One night at work: what it reads, where it writes, and the journal of its steps."""

import hashlib
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from features.durable import sweep
from features.store import PortfolioStore
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME
from training.night_journal import NightJournal
from training.night_settings import NightSettings
from training.tracking import end_runs
from training.tuned import Tuned

NIGHTS: Final = "nights"
LOCK_FILE: Final = "night.lock"
DECISIONS: Final = "decisions.jsonl"
REPORT: Final = "report.md"
BUNDLE: Final = "bundle"
TUNED: Final = "tuned.json"
RESULT: Final = "result"
Progress = Callable[[str], None]


@dataclass
class Night:
    """One night at work.

    Attributes
    ----------
    store : PortfolioStore
        The store as this night reads it.
    mlflow : Store
        Where models are registered.
    name : str
        Registered model.
    settings : NightSettings
        All of them.
    tuned : Tuned, optional
        Settings of a search.
    forced : bool
        Train whether due or not.
    tell : callable
        Called with the name of each step as it begins.
    apart : Path, optional
        Folder of the journal of a night that is done again; by default the night's own.
    seconds : dict of str to float
        Wall time of the steps done in this process.
    """

    store: PortfolioStore
    mlflow: Store
    name: str
    settings: NightSettings
    tuned: Tuned | None
    forced: bool
    tell: Progress
    apart: Path | None = None
    journal: NightJournal = field(init=False)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the night's journal."""
        self.journal = NightJournal(self.apart or self.own_folder)
        # Hidden names are what `features.durable` and `features.replacing` write aside.
        sweep(self.journal.folder, ".*")

    @property
    def identity(self) -> str:
        """Name of the night: the store's commit, and a hash of all that shapes the night."""
        shaping = {
            "store": self.store.digest,
            "settings": self.settings.model_dump(mode="json"),
            "tuned": None if self.tuned is None else self.tuned.origin,
            "forced": self.forced,
            "model": self.name,
        }
        text = json.dumps(shaping, sort_keys=True)
        return f"{self.store.last.number:06d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def tags(self) -> dict[str, str]:
        """What the night's MLflow runs are found by."""
        return tags_of(self.identity)

    @property
    def command(self) -> str:
        """What does this night, from where its store lies; settings stand in its report."""
        name = "" if self.name == DEFAULT_NAME else f" --name {shlex.quote(self.name)}"
        forced = " --force" if self.forced else ""
        return f"npl retrain --store {shlex.quote(self.store.folder.name)}{name}{forced}"

    @property
    def own_folder(self) -> Path:
        """The night's folder in the store."""
        return self.store.folder / NIGHTS / self.identity

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a step of the journal and time it."""
        self.tell(name)
        began = time.perf_counter()
        found = self.journal.step(name, work)
        self.seconds[name] = time.perf_counter() - began
        return found

    @property
    def bundle_folder(self) -> Path:
        """Where this night's challenger lies."""
        return self.journal.folder / BUNDLE

    @property
    def decisions(self) -> Path:
        """The store's record of decisions."""
        return self.store.folder / DECISIONS


def tags_of(identity: str) -> dict[str, str]:
    """What the MLflow runs of a night are found by."""
    return {"night": identity}


def end_dead_runs(folder: Path, mlflow: Store) -> int:
    """End the MLflow runs that nights which never came to their end left going; how many.

    Such a night may never be done again: a new delivery makes another one. The caller holds the
    lock of the store, so nobody is at work on any.

    Raises
    ------
    StoreError
        When the registry cannot be used.
    """
    return sum(
        end_runs(mlflow, tags_of(night.name))
        for night in sorted((folder / NIGHTS).glob("*/"))
        if not (night / f"{RESULT}.json").exists()
    )
