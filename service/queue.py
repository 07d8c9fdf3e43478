"""Packages waiting for a worker: the database is the queue, a lease says who works on what.

A worker takes a package by one conditional UPDATE, whose row lock lets one of many win on SQLite
and PostgreSQL alike. It keeps its lease while it works; a package whose lease has run out is taken
by another. Each taking raises `attempt`, and nothing is written under an older one: whatever two
workers believe, a package is finished once.
"""

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from service.audit import Record, append
from service.clock import now
from service.incoming import UnsettledError
from service.storage import PACKAGES, writing

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
UPLOADING: Final = "uploading"
ENDED: Final = (DONE, FAILED, CANCELLED)
# A package that took so many workers down is at fault itself.
_ATTEMPTS: Final = 10


@dataclass(frozen=True)
class Lease:
    """A worker's hold on a package.

    Attributes
    ----------
    package_id : str
        The package.
    attempt : int
        Which taking of it this is.
    worker : str
        Who holds it.
    """

    package_id: str
    attempt: int
    worker: str

    @property
    def held(self) -> sa.ColumnElement[bool]:
        """Whether the package is still this worker's."""
        return sa.and_(
            PACKAGES.c.id == self.package_id,
            PACKAGES.c.attempt == self.attempt,
            PACKAGES.c.worker == self.worker,
            PACKAGES.c.state == RUNNING,
        )


class LeaseLostError(Exception):
    """The package was cancelled, or another worker has taken it."""


def take(engine: sa.Engine, worker: str, lease_seconds: float) -> Lease | None:
    """Take a package that nobody works on, those not tried before first; or None."""
    free = sa.or_(
        PACKAGES.c.state == QUEUED,
        sa.and_(PACKAGES.c.state == RUNNING, PACKAGES.c.lease_until < now()),
    )
    oldest = sa.select(PACKAGES.c.id, PACKAGES.c.attempt).where(free)
    oldest = oldest.order_by(PACKAGES.c.attempt, PACKAGES.c.created_at).limit(1)
    with engine.connect() as connection:
        found = connection.execute(oldest).one_or_none()
    if found is None:
        return None
    attempt = found.attempt + 1
    exhausted = attempt > _ATTEMPTS
    values: dict[str, Any] = {
        "state": FAILED if exhausted else RUNNING,
        "attempt": attempt,
        "worker": worker,
        "lease_until": now(after_seconds=lease_seconds),
        "stage": "reading",
        "loans_done": 0,
    }
    if exhausted:
        told = f"the package ended {_ATTEMPTS} workers; give the operator its id"
        values |= {"problem": {"title": "Internal error", "detail": told}, "finished_at": now()}
    with writing(engine).begin() as connection:
        done = connection.execute(
            sa.update(PACKAGES)
            .where(PACKAGES.c.id == found.id, PACKAGES.c.attempt == found.attempt, free)
            .values(values)
        )
    if not done.rowcount or exhausted:
        return None
    return Lease(found.id, attempt, worker)


def renew(engine: sa.Engine, lease: Lease, lease_seconds: float, **progress: Any) -> None:
    """Keep a lease, and tell how far the work is.

    Raises
    ------
    LeaseLostError
        When the package is no longer this worker's.
    """
    values = progress | {"lease_until": now(after_seconds=lease_seconds)}
    with writing(engine).begin() as connection:
        done = connection.execute(sa.update(PACKAGES).where(lease.held).values(values))
    if not done.rowcount:
        raise LeaseLostError(lease.package_id)


def finish(engine: sa.Engine, lease: Lease, record: Record, loans: int) -> None:
    """End a package well and put its valuation on record, both or neither.

    Raises
    ------
    LeaseLostError
        When the package is no longer this worker's.
    """
    values = {
        "state": DONE,
        "stage": "done",
        "loans_done": loans,
        "loans_total": loans,
        "valuation_id": record.id,
        "finished_at": now(),
    }
    with writing(engine).begin() as connection:
        done = connection.execute(sa.update(PACKAGES).where(lease.held).values(values))
        if not done.rowcount:
            raise LeaseLostError(lease.package_id)
        append(connection, [record])


def give_back(engine: sa.Engine, lease: Lease) -> None:
    """Leave a package to the next worker, where it is still this one's."""
    with writing(engine).begin() as connection:
        values = {"state": QUEUED, "stage": "waiting"}
        connection.execute(sa.update(PACKAGES).where(lease.held).values(values))


def ended_before(engine: sa.Engine, moment: str) -> list[str]:
    """Ids of the packages that ended before a moment."""
    query = sa.select(PACKAGES.c.id).where(PACKAGES.c.finished_at < moment)
    with engine.connect() as connection:
        return list(connection.execute(query).scalars())


def fail(engine: sa.Engine, lease: Lease, title: str, detail: str, **more: Any) -> None:
    """End a package with what was wrong with it, where it is still this worker's."""
    problem = {"title": title, "detail": detail} | more
    values = {"state": FAILED, "stage": "failed", "problem": problem, "finished_at": now()}
    with writing(engine).begin() as connection:
        connection.execute(sa.update(PACKAGES).where(lease.held).values(values))


def cancel(engine: sa.Engine, package_id: str) -> bool:
    """End a package that has not ended; its worker stops at its next sign of life."""
    open_ = PACKAGES.c.state.not_in(ENDED)
    values = {"state": CANCELLED, "stage": "cancelled", "finished_at": now()}
    with writing(engine).begin() as connection:
        done = connection.execute(
            sa.update(PACKAGES).where(PACKAGES.c.id == package_id, open_).values(values)
        )
    return bool(done.rowcount)


def find(engine: sa.Engine, package_id: str) -> sa.Row[Any] | None:
    """Row of a package, or None."""
    with engine.connect() as connection:
        query = sa.select(PACKAGES).where(PACKAGES.c.id == package_id)
        return connection.execute(query).one_or_none()


def find_same(engine: sa.Engine, key_id: str, idempotency_key: str) -> sa.Row[Any] | None:
    """Row of the package a key has sent under an idempotency key, or None."""
    query = sa.select(PACKAGES).where(
        PACKAGES.c.key_id == key_id, PACKAGES.c.idempotency_key == idempotency_key
    )
    with engine.connect() as connection:
        return connection.execute(query).one_or_none()


def add(engine: sa.Engine, values: dict[str, Any]) -> None:
    """Put a package into the queue.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        When its idempotency key was used meanwhile.
    UnsettledError
        When the commit had no answer: it may have been made. Any other error means it was not.
    """
    with writing(engine).connect() as connection:
        connection.execute(sa.insert(PACKAGES).values(created_at=now(), **values))
        try:
            connection.commit()
        except sa.exc.SQLAlchemyError as error:
            raise UnsettledError("the database cannot be reached") from error


def release(engine: sa.Engine, package_id: str) -> bool:
    """Let workers take a package that waited for its ledger."""
    waiting = sa.and_(PACKAGES.c.id == package_id, PACKAGES.c.state == UPLOADING)
    with writing(engine).begin() as connection:
        done = connection.execute(sa.update(PACKAGES).where(waiting).values(state=QUEUED))
    return bool(done.rowcount)
