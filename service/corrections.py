"""Corrections in service: the operator's book, read anew when it changes, kept for replays."""

import threading
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from features.replacing import replacing_file
from models.correction import CorrectionsInForce
from models.correction_book import CorrectionBook, read_book
from models.errors import CorrectionError

_log = structlog.get_logger("service.corrections")
_ENDING: Final = ".jsonl"


class CorrectionsInService:
    """Holds the book that approved corrections are taken from.

    Parameters
    ----------
    path : Path, optional
        The book of `npl corrections`; None where the operator corrects nothing.
    archive : Path
        Folder where every book that ever served is kept, for replays.

    Raises
    ------
    CorrectionError
        When the book cannot be read.
    """

    def __init__(self, path: Path | None, archive: Path) -> None:
        self._path = path
        self._archive = archive
        self._reading = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._book: CorrectionBook | None = None
        if path is not None:
            self._read(path)

    def in_force(self, model_version: str) -> CorrectionsInForce | None:
        """Corrections of a model in force today (UTC); None without a book.

        A book that has become unreadable is refused, loudly, and the one before stays.
        """
        if self._path is None:
            return None
        with self._reading:
            try:
                self._read(self._path)
            except (CorrectionError, OSError) as error:
                _log.error("book of corrections refused", error=str(error))
            assert self._book is not None
            return self._book.in_force(datetime.now(UTC).date(), model_version)

    def recorded(
        self, told: dict[str, Any] | None, model_version: str
    ) -> CorrectionsInForce | None:
        """Corrections that an answer on record was made with.

        Parameters
        ----------
        told : dict, optional
            As `correction_document` gave it.
        model_version : str
            Version of the model that answered.

        Raises
        ------
        CorrectionError
            When the book of that day is not kept, or was altered.
        """
        if told is None:
            return None
        book = read_book(self._archive / f"{told['book_version']}{_ENDING}")
        if book.version != told["book_version"]:
            raise CorrectionError(f"book {told['book_version']} was altered; restore it")
        return book.in_force(date.fromisoformat(told["valued_on"]), model_version)

    def _read(self, path: Path) -> None:
        if not path.is_file():
            raise CorrectionError(f"{path}: no book of corrections there")
        status = path.stat()
        stamp = status.st_mtime_ns, status.st_size
        if stamp == self._stamp:
            return
        book = read_book(path)
        kept = self._archive / f"{book.version}{_ENDING}"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing_file(kept) as aside:
                aside.write_text(book.text(), encoding="utf-8", newline="\n")
        self._book, self._stamp = book, stamp


def correction_document(held: CorrectionsInForce | None) -> dict[str, Any] | None:
    """What an answer says of the corrections it was made with; None without a book."""
    if held is None:
        return None
    return {
        "book_version": held.book_version,
        "valued_on": held.valued_on.isoformat(),
        "in_force": [correction.id for correction in held.corrections],
    }
