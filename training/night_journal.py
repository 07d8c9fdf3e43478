"""The journal of a night: what each step found, so that a killed night goes on where it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from features.durable import write_durably
from training.errors import TrainingError


class NightJournal:
    """Steps of one night, each written down once it is done.

    A step's work must be such that doing it again changes nothing: a kill between the work and its
    entry repeats it.
    """

    def __init__(self, folder: Path) -> None:
        """Open the journal of a night; `folder` is made where it is missing."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def step(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Do a step, or read what it found.

        Parameters
        ----------
        name : str
            Name of the step; its entry is `name.json`.
        work : callable
            Gives plain values.

        Raises
        ------
        TrainingError
            When an entry cannot be read.
        """
        path = self._path(name)
        if not path.exists():
            text = json.dumps(work(), ensure_ascii=False, indent=1, sort_keys=True)
            write_durably(path, text + "\n")
        return self._read(path)

    def found(self, name: str) -> dict[str, Any] | None:
        """What a step found; None where it was not done. Errors as in `step`."""
        path = self._path(name)
        return self._read(path) if path.exists() else None

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"{path}: not a readable entry of the night's journal; remove the folder"
                f" {self.folder} and run the night again"
            ) from error
        return found
