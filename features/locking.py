"""One at a time: a lock that the system lets go of when its holder dies, however it dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import LockedError


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; never wait for it.

    The file stays and means nothing by itself: what counts is the system's lock on it, so that a
    killed process leaves nothing to clear away. On a network file system the lock is only as good
    as that file system's.

    Parameters
    ----------
    path : Path
        Lock file; made where it is missing.
    what : str
        What the holder does, for the message.

    Raises
    ------
    LockedError
        When another process holds it, with its process id.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            raise LockedError(
                f"{path}: process {holder} is at work here ({what}); wait until it has ended"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
