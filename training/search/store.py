"""Where a study lies, and how it is known there that a worker is gone.

A study lies in a journal file, for the workers of one machine, or in a database, for those of many.
A trial whose worker died is found in a journal by the lock its worker held, in a database by the
heartbeat it no longer gives.
"""

import fcntl
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from training.errors import TrainingError


class Store(Protocol):
    """Where a study lies, and how it is known there that a worker is gone."""

    @property
    def storage(self) -> BaseStorage:
        """The storage in Optuna's terms."""

    def claim(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Mark a trial that has just begun as this worker's."""

    def give_up_silent_trials(self, study: optuna.Study) -> None:
        """Fail the trials of workers that no longer say that they live, where they have to."""

    def is_gone(self, worker: str) -> bool:
        """Whether the worker that claimed a running trial is known to be gone."""

    def close(self) -> None:
        """Leave the study."""


def open_store(location: str, heartbeat_seconds: int) -> Store:
    """Open where a study lies, or begin it there.

    Raises
    ------
    TrainingError
        When the file is no journal, or the database cannot be used.
    """
    return (
        DatabaseStore(location, heartbeat_seconds)
        if is_url(location)
        else JournalStore(Path(location))
    )


def shown_location(location: str) -> str:
    """Location of a study without the password of a database."""
    return make_url(location).render_as_string(hide_password=True) if is_url(location) else location


def is_url(location: str) -> bool:
    """Whether a study lies in a database."""
    return "://" in location


class DatabaseStore:
    """A study in a database; a worker says that it lives by Optuna's heartbeat."""

    def __init__(self, url: str, heartbeat_seconds: int) -> None:
        try:
            with _experimental():
                self.storage = RDBStorage(
                    url,
                    engine_kwargs={"pool_pre_ping": True},
                    heartbeat_interval=heartbeat_seconds,
                )
        except (SQLAlchemyError, ImportError, ValueError) as error:
            shown = str(error).strip().splitlines()[0]
            raise TrainingError(f"the study's database cannot be used: {shown}") from error

    def claim(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Mark a trial as one whose heartbeat can be missed."""
        # A trial without a heartbeat is never missed: first the heartbeat, then the claim.
        in_study = self.storage.get_study_id_from_name(study.study_name)
        number = self.storage.get_trial_id_from_study_id_trial_number(in_study, trial.number)
        self.storage.record_heartbeat(number)
        trial.set_user_attr("worker", "by heartbeat")

    def give_up_silent_trials(self, study: optuna.Study) -> None:
        """Fail the trials whose heartbeat stopped."""
        with _experimental():
            optuna.storages.fail_stale_trials(study)

    def is_gone(self, worker: str) -> bool:
        """Never known of a name: heartbeats tell."""
        return False

    def close(self) -> None:
        """Give every connection back."""
        self.storage.remove_session()
        self.storage.engine.dispose()


class JournalStore:
    """A study in a file; a worker holds a lock that the system frees however it dies."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        try:
            self.storage = JournalStorage(JournalFileBackend(str(path), JournalLock(path)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path}: not the journal of a study ({error}); name another file"
            ) from error
        self._path = path
        self._name = uuid.uuid4().hex
        self._file = self._lock_of(self._name).open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _lock_of(self, worker: str) -> Path:
        return self._path.with_name(f"{self._path.name}.worker-{worker}")

    def claim(self, study: optuna.Study, trial: optuna.Trial) -> None:
        """Put the name of this worker's lock on a trial."""
        trial.set_user_attr("worker", self._name)

    def give_up_silent_trials(self, study: optuna.Study) -> None:
        """Nobody has to say anything here: see `is_gone`."""

    def is_gone(self, worker: str) -> bool:
        """Whether nobody holds that worker's lock."""
        if worker == self._name:
            # One trial at a time: what is under way is never asked about.
            return True
        try:
            with self._lock_of(worker).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        self._lock_of(worker).unlink(missing_ok=True)
        return True

    def close(self) -> None:
        """Give the lock up."""
        self._lock_of(self._name).unlink(missing_ok=True)
        self._file.close()


class JournalLock(JournalFileSymlinkLock):
    """A lock on the journal itself, freed by the system: Optuna's own outlives a kill by 30 s."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held: BinaryIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._held = self._journal.open("rb")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let the next one write."""
        if self._held is not None:
            self._held.close()
            self._held = None


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line that a dying machine left half-written: nothing was told in it yet."""
    if not path.exists():
        return
    lock = JournalLock(path)
    lock.acquire()
    try:
        with path.open("rb+") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
    finally:
        lock.release()


@contextmanager
def _experimental() -> Iterator[None]:
    # Heartbeats have been experimental in name since 2020; nothing else is muted.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
