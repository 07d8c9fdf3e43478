"""What must outlive a power cut: files flushed to the disk, and a folder that appears whole."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

ASIDE: Final = ".aside-"


def flush(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(aside: Path, final: Path) -> None:
    """Let a finished folder appear under its name, all of it at once.

    Every file is on the disk before the one rename that makes it count, and the rename itself is
    on the disk when this returns.

    Raises
    ------
    OSError
        When `final` exists already, or the disk refuses.
    """
    for folder, _, files in os.walk(aside, topdown=False):
        for name in files:
            flush(Path(folder) / name)
        flush(Path(folder))
    if final.exists():
        raise FileExistsError(f"{final}: exists already")
    aside.rename(final)
    flush(final.parent)


def write_durably(path: Path, text: str) -> None:
    """Write a text aside, bring it to the disk and rename it over `path`."""
    aside = path.with_name(f"{ASIDE}{path.name}")
    aside.write_text(text, encoding="utf-8")
    flush(aside)
    aside.replace(path)
    flush(path.parent)


def sweep(folder: Path, names: str = f"{ASIDE}*") -> None:
    """Remove what a killed writer left aside in `folder`; only the one writer may call this.

    Parameters
    ----------
    folder : Path
        Where it wrote.
    names : str
        Pattern of what it left.
    """
    for left in folder.glob(names):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
