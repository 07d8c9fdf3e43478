"""Every valuation on record: append-only entries, each chained to the last by its hash."""

import hashlib
import json
import queue
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from service.storage import CHAIN, VALUATIONS, writing

_BATCH: Final = 64
# An answer to 10,000 loans keeps some 3 MB.
_VERIFIED_AT_A_TIME: Final = 20
FIRST_HASH: Final = "0" * 64


@dataclass(frozen=True)
class Record:
    """A valuation to be put on record.

    Attributes
    ----------
    id : str
        The valuation's.
    entry : dict
        Plain values: input hash, output hash, model, parameters, who, when.
    input : bytes, optional
        What a replay reads.
    """

    id: str
    entry: dict[str, Any]
    input: bytes | None


def append(connection: sa.Connection, records: list[Record]) -> None:
    """Add entries to the end of the chain, within a transaction that writes."""
    end = connection.execute(
        sa.select(CHAIN.c.sequence, CHAIN.c.entry_hash).where(CHAIN.c.id == 1).with_for_update()
    ).one()
    sequence, last = end.sequence, end.entry_hash
    rows = []
    for record in records:
        sequence += 1
        text = _text(record.entry | {"id": record.id, "sequence": sequence}, record.input)
        entry_hash = _chained(last, text)
        rows.append(
            {
                "sequence": sequence,
                "id": record.id,
                "entry": text,
                "previous_hash": last,
                "entry_hash": entry_hash,
                "input": record.input,
            }
        )
        last = entry_hash
    connection.execute(sa.insert(VALUATIONS), rows)
    connection.execute(
        sa.update(CHAIN).where(CHAIN.c.id == 1).values(sequence=sequence, entry_hash=last)
    )


def _text(entry: dict[str, Any], stored: bytes | None) -> str:
    held = None if stored is None else hashlib.sha256(stored).hexdigest()
    return json.dumps(entry | {"stored_input_hash": held}, sort_keys=True, ensure_ascii=False)


def _chained(previous: str, text: str) -> str:
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def find(engine: sa.Engine, valuation_id: str) -> sa.Row[Any] | None:
    """Row of a valuation, or None."""
    with engine.connect() as connection:
        query = sa.select(VALUATIONS).where(VALUATIONS.c.id == valuation_id)
        return connection.execute(query).one_or_none()


@dataclass(frozen=True)
class Verdict:
    """What became of checking the chain.

    Attributes
    ----------
    entries : int
        Entries read.
    faults : tuple of str
        Every broken place; empty where the chain holds.
    """

    entries: int
    faults: tuple[str, ...]


def verify(engine: sa.Engine) -> Verdict:
    """Read the whole chain and tell every entry that was changed, removed or put in."""
    faults: list[str] = []
    expected, last = 1, FIRST_HASH
    with engine.connect() as connection:
        query = sa.select(VALUATIONS).order_by(VALUATIONS.c.sequence)
        rows = connection.execution_options(yield_per=_VERIFIED_AT_A_TIME).execute(query)
        for row in rows:
            faults += _faults_of(row, expected, last)
            expected, last = row.sequence + 1, row.entry_hash
        end = connection.execute(sa.select(CHAIN.c.sequence, CHAIN.c.entry_hash)).one_or_none()
    if end is None or (end.sequence, end.entry_hash) != (expected - 1, last):
        told = "nothing" if end is None else f"entry {end.sequence}"
        faults.append(f"the chain ends at {told}, the entries at {expected - 1}")
    return Verdict(expected - 1, tuple(faults))


def _faults_of(row: sa.Row[Any], expected: int, last: str) -> list[str]:
    place = f"entry {row.sequence} ({row.id})"
    faults = []
    if row.sequence != expected:
        faults.append(f"{place}: entry {expected} is gone")
    if row.previous_hash != last:
        faults.append(f"{place}: does not follow the entry before it")
    if _chained(row.previous_hash, row.entry) != row.entry_hash:
        faults.append(f"{place}: the entry was changed")
        return faults
    entry = json.loads(row.entry)
    held = None if row.input is None else hashlib.sha256(row.input).hexdigest()
    if (entry["sequence"], entry["id"]) != (row.sequence, row.id):
        faults.append(f"{place}: bears another entry's text")
    if entry["stored_input_hash"] != held:
        faults.append(f"{place}: the stored loans were changed")
    return faults


class Recorder:
    """Puts valuations on record from many requests at once, a transaction for all that wait.

    A commit waits for the disk; eight requests that wait for one disk need not wait eight times.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The service's database.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = writing(engine)
        self._waiting: queue.SimpleQueue[tuple[Record, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> Future[None]:
        """Put a valuation on record.

        Returns
        -------
        concurrent.futures.Future
            Done when it is on record; raises SQLAlchemyError when the database refuses it or does
            not answer. Not to be cancelled.
        """
        done: Future[None] = Future()
        self._waiting.put((record, done))
        return done

    def close(self) -> None:
        """Put on record what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _BATCH:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            self._write(batch)

    def _refuse_waiting(self, error: Exception) -> None:
        """Tell those behind a batch that the database is gone; they would wait as long again."""
        for _ in range(self._waiting.qsize()):
            entry = self._waiting.get_nowait()
            if entry is None:
                self._waiting.put(None)
            else:
                entry[1].set_exception(error)

    def _write(self, batch: list[tuple[Record, Future[None]]]) -> None:
        try:
            with self._engine.begin() as connection:
                append(connection, [record for record, _ in batch])
        # Whatever it is, those who wait are told, and the thread lives on.
        except Exception as error:
            for _, done in batch:
                done.set_exception(error)
            if isinstance(error, sa.exc.OperationalError | sa.exc.TimeoutError):
                self._refuse_waiting(error)
        else:
            for _, done in batch:
                done.set_result(None)
