"""Who decided what about models, and why: lines that are only ever added, each sealing the last."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from features.durable import flush
from training.errors import TrainingError

_FIRST: Final = ""


def read_decisions(path: Path) -> list[dict[str, Any]]:
    """Read all decisions, oldest first; none where the file is missing.

    A last line without its end is what a killed writer left: it was never a decision, and is not
    read.

    Raises
    ------
    TrainingError
        When a line was altered, removed or put in between.
    """
    if not path.exists():
        return []
    decisions = []
    previous = _FIRST
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            stated = entry.pop("hash")
        except (ValueError, KeyError, AttributeError) as error:
            raise TrainingError(f"{path}, line {number}: no decision; restore the file") from error
        if entry.get("previous") != previous or _hash(entry) != stated:
            raise TrainingError(
                f"{path}, line {number}: altered, or a line before it removed; restore the file"
            )
        previous = stated
        decisions.append(entry | {"hash": stated})
    return decisions


def add_decision(path: Path, decision: dict[str, Any]) -> dict[str, Any]:
    """Add a decision, unless one with the same `id` stands there already.

    The caller holds the lock of the store.

    Parameters
    ----------
    path : Path
        The log.
    decision : dict
        Plain values; `id` names it.

    Returns
    -------
    dict
        The decision as it stands in the log.

    Raises
    ------
    TrainingError
        As `read_decisions`.
    """
    decisions = read_decisions(path)
    for entry in decisions:
        if entry["id"] == decision["id"]:
            return entry
    entry = {
        **decision,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "previous": decisions[-1]["hash"] if decisions else _FIRST,
    }
    sealed = entry | {"hash": _hash(entry)}
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.read_bytes() if path.exists() else b""
    # What a killed writer left of a line goes before the next is written.
    end = whole.rfind(b"\n") + 1
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.ftruncate(descriptor, end)
        line = json.dumps(sealed, ensure_ascii=False, sort_keys=True) + "\n"
        os.pwrite(descriptor, line.encode(), end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    flush(path.parent)
    return sealed


def _hash(entry: dict[str, Any]) -> str:
    text = json.dumps(entry, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
