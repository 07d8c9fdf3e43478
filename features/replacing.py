"""Writing aside, then renaming: an output is whole or absent, and an old one stays until then."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Give a file to write to that takes the place of `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def refuse_occupied(folder: Path, own: tuple[str, ...], what: str, error: type[Exception]) -> None:
    """Refuse to write where something else than an older output of the kind stands.

    Parameters and errors are those of `replacing_folder`, which asks this first.
    """
    held = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    strange = [name for name in held if not any(fnmatch(name, pattern) for pattern in own)]
    if folder.is_file() or (held and not any(fnmatch(name, own[0]) for name in held)):
        raise error(f"{folder}: exists and is no {what}; choose another --out")
    if strange:
        raise error(
            f"{folder}: holds {', '.join(sorted(strange)[:5])} beside the {what}; move that, or"
            " choose another --out"
        )


@contextmanager
def replacing_folder(
    folder: Path, own: tuple[str, ...], what: str, error: type[Exception]
) -> Iterator[Path]:
    """Give a folder to write into that takes the place of `folder` when the block ends well.

    Parameters
    ----------
    folder : Path
        Where the output shall stand.
    own : tuple of str
        Patterns of the names such an output holds, the first of which it must. A folder that holds
        anything else is somebody's, and is not replaced.
    what : str
        Name of the kind, for the message.
    error : type of Exception
        Raised when `folder` exists and holds something else.
    """
    refuse_occupied(folder, own, what, error)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    aside.chmod(0o777 & ~_umask())
    try:
        yield aside
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
            folder.rename(old / folder.name)
            try:
                aside.rename(folder)
            except OSError:
                (old / folder.name).rename(folder)
                raise
            finally:
                shutil.rmtree(old)
        else:
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    # Temporary files and folders are made private; outputs follow the user's umask like any other.
    umask = os.umask(0)
    os.umask(umask)
    return umask
