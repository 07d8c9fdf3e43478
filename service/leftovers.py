"""What killed processes leave behind: attempts that did not win, uploads that were not accepted."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from features.errors import LockedError
from features.locking import exclusive
from service import queue
from service.incoming import FOLDER, LOCK, UNSETTLED
from service.package_folder import PackageFolder

# Longer than a database that was gone takes over what it was told before.
_SETTLED_SECONDS: Final = 600.0
# Longer than a result takes to be written out in another format.
_WRITTEN_SECONDS: Final = 3_600.0


def clear_attempts(engine: sa.Engine, folder: PackageFolder) -> None:
    """Delete what attempts made that can no longer end the package.

    Numbers of attempts only rise: an older one than the row tells has lost, whoever works on it.
    """
    row = queue.find(engine, folder.package_id)
    if row is None:
        return
    stands = row.attempt if row.state in (queue.RUNNING, queue.DONE) else row.attempt + 1
    for attempt, paths in folder.attempts().items():
        if attempt < stands:
            for path in paths:
                shutil.rmtree(path, ignore_errors=True)


def sweep(engine: sa.Engine, data_folder: Path) -> None:
    """Delete what killed processes have left, and nothing that one alive may need.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database cannot be asked; the rest waits for the next time.
    """
    _sweep_incoming(engine, data_folder)
    for path in _children(data_folder / "packages"):
        clear_attempts(engine, PackageFolder(data_folder, path.name))
        for aside in path.glob("result-*/.*"):
            if _age(aside) > _WRITTEN_SECONDS:
                aside.unlink(missing_ok=True)


def _sweep_incoming(engine: sa.Engine, data_folder: Path) -> None:
    for lock in (data_folder / FOLDER).glob(f"*{LOCK}"):
        uploads = lock.with_suffix("")
        try:
            with exclusive(lock, "clearing up"):
                for place in _children(uploads):
                    _settle(engine, data_folder, place)
                shutil.rmtree(uploads, ignore_errors=True)
                lock.unlink(missing_ok=True)
        except LockedError:
            for place in _children(uploads):
                if _age(place / UNSETTLED) > _SETTLED_SECONDS:
                    _settle(engine, data_folder, place)


def _settle(engine: sa.Engine, data_folder: Path, place: Path) -> None:
    """Keep the files of a package that was taken in, delete those of one that was not."""
    if queue.find(engine, place.name) is None:
        PackageFolder(data_folder, place.name).remove()
    shutil.rmtree(place, ignore_errors=True)


def _children(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from sorted(path for path in folder.iterdir() if path.is_dir())


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
