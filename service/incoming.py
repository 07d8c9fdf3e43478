"""Uploads on their way in: whose they are is known, so that those of the dead are found."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

from features.errors import LockedError
from features.locking import exclusive

FOLDER: Final = "incoming"
LOCK: Final = ".lock"
# Marks a place whose package the database may have taken in without an answer.
UNSETTLED: Final = "unsettled"


class UnsettledError(Exception):
    """Whether a package was taken in is not known: its place is to stay."""


class Incoming:
    """Folder of the uploads of one process; the system holds its lock until the process ends.

    Parameters
    ----------
    data_folder : Path
        Folder of the service.
    """

    def __init__(self, data_folder: Path) -> None:
        self._path = data_folder / FOLDER / uuid.uuid4().hex
        self._held = ExitStack()

    @classmethod
    def opened(cls, data_folder: Path) -> Self:
        """A new folder, its lock held."""
        while True:
            made = cls(data_folder)
            lock = made._path.with_suffix(LOCK)
            try:
                made._held.enter_context(exclusive(lock, "uploads"))
            except LockedError:
                # Who clears up looks at the new file this very moment.
                continue
            # One who clears up may have taken the file for a dead one's before it was locked.
            if lock.exists():
                made._path.mkdir()
                return made
            made._held.close()

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A folder for one upload, removed at the end; it stays on an `UnsettledError`.

        Its name is the package's id: what became of that is asked where this process ends first.
        """
        place = self._path / name
        place.mkdir()
        try:
            yield place
        except UnsettledError:
            (place / UNSETTLED).touch()
            raise
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Let go of the folder; what is unsettled is left to who clears up."""
        if not any(self._path.iterdir()):
            self._path.rmdir()
            self._path.with_suffix(LOCK).unlink()
        self._held.close()
