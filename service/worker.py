"""A worker: takes packages one by one, and leaves each done, failed, or to the next worker."""

import os
import socket
import threading
import time
import uuid
from typing import Any, Final

import sqlalchemy as sa
import structlog

from features.errors import FeaturesError
from models.errors import ScoringError
from service import queue
from service.audit import Record
from service.clock import now
from service.corrections import CorrectionsInService
from service.errors import ServiceError
from service.identifiers import KeyedHash
from service.leftovers import clear_attempts, sweep
from service.middleware import LOANS, PACKAGES
from service.package_folder import PackageFolder
from service.package_run import Means, PackageOrder, run_package
from service.queue import Lease, LeaseLostError
from service.served import ModelInService
from service.settings import Settings

_log = structlog.get_logger("service.worker")
_IDLE_SECONDS: Final = 0.5
_SWEEP_SECONDS: Final = 3_600.0
_DATABASE_GONE_SECONDS: Final = 2.0


class Worker:
    """Works on packages until told to stop.

    Parameters
    ----------
    settings : Settings
        What the operator set.
    engine : sqlalchemy.Engine
        The database.
    model : ModelInService
        The model; a package keeps the one it began with.
    corrections : CorrectionsInService
        Approved corrections of it; likewise.
    stopping : threading.Event
        Set when the worker shall end.
    """

    def __init__(
        self,
        settings: Settings,
        engine: sa.Engine,
        model: ModelInService,
        corrections: CorrectionsInService,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._model = model
        self._corrections = corrections
        self._stopping = stopping
        self._hashes = KeyedHash(settings.secret())
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"[-64:]

    def run(self) -> None:
        """Take packages until told to stop; a database that is gone is waited for."""
        swept = float("-inf")
        while not self._stopping.is_set():
            try:
                if time.monotonic() - swept > _SWEEP_SECONDS:
                    self._sweep()
                    swept = time.monotonic()
                if not self.work_once():
                    self._stopping.wait(_IDLE_SECONDS)
            except sa.exc.SQLAlchemyError as error:
                _log.error("database", error=type(error).__name__)
                self._stopping.wait(_DATABASE_GONE_SECONDS)

    def _sweep(self) -> None:
        """Delete what the dead have left, and packages whose time is over; the record stays."""
        try:
            sweep(self._engine, self._settings.data_folder)
        except OSError as error:
            _log.error("not cleared up", error=str(error))
        days = self._settings.keep_results_days
        for package_id in queue.ended_before(self._engine, now(after_seconds=-days * 86_400.0)):
            self._folder(package_id).remove()

    def _folder(self, package_id: str) -> PackageFolder:
        return PackageFolder(self._settings.data_folder, package_id)

    def work_once(self) -> bool:
        """Work on one package, if there is one."""
        lease = queue.take(self._engine, self._name, self._settings.lease_seconds)
        if lease is None:
            return False
        keeper = _LeaseKeeper(self._engine, lease, self._settings.lease_seconds, self._stopping)
        try:
            self._work(lease, keeper)
        except _StoppingError:
            keeper.stop()
            queue.give_back(self._engine, lease)
        except LeaseLostError:
            _log.info("package given up", package=lease.package_id, attempt=lease.attempt)
        except (FeaturesError, ScoringError, ServiceError) as error:
            # Readers name the file by its place here, which is nobody's business.
            place = self._folder(lease.package_id).path
            told = str(error).replace(f"{place}{os.sep}", "")
            self._fail(lease, "Data cannot be used", told)
        except sa.exc.SQLAlchemyError:
            # Not the package's fault: when its lease has run out it is taken again.
            raise
        # A panic of a compiled library is no Exception, and must not end the worker.
        except BaseException as error:
            _log.exception("package failed", package=lease.package_id)
            told = "a fault of this service; give the operator the package's id"
            self._fail(lease, "Internal error", told)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            keeper.stop()
        clear_attempts(self._engine, self._folder(lease.package_id))
        return True

    def _work(self, lease: Lease, keeper: "_LeaseKeeper") -> None:
        row = queue.find(self._engine, lease.package_id)
        if row is None:
            raise LeaseLostError(lease.package_id)
        served = self._model.served
        order = PackageOrder(
            self._folder(lease.package_id), lease.attempt, row.input_format, row.parameters
        )
        means = Means(
            served.bundle,
            self._corrections.in_force(served.version),
            self._hashes,
            self._settings.personal_data,
        )
        result = run_package(order, means, keeper.report)
        entry = result.entry | {
            "made_at": now(),
            "key_id": row.key_id,
            "package_id": lease.package_id,
            "attempt": lease.attempt,
            "input_hash": row.input_hash,
            "model_source": served.source,
        }
        keeper.stop()
        self._finish(lease, Record(result.valuation_id, entry, None), result.loans)
        PACKAGES.labels("done").inc()
        LOANS.labels("package", "scored").inc(result.scored)
        LOANS.labels("package", "set_aside").inc(result.loans - result.scored)

    def _finish(self, lease: Lease, record: Record, loans: int) -> None:
        """End well; work is not thrown away because the database is gone for a while.

        Where the answer to a commit was lost, the package is found ended: by this very attempt.
        """
        while True:
            try:
                queue.finish(self._engine, lease, record, loans)
                return
            except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
                _log.warning("end not on record yet", error=type(error).__name__)
                if self._stopping.wait(1):
                    raise

    def _fail(self, lease: Lease, title: str, detail: str, **more: Any) -> None:
        queue.fail(self._engine, lease, title, detail, **more)
        PACKAGES.labels("failed").inc()


class _StoppingError(Exception):
    """The worker shall end."""


class _LeaseKeeper:
    """Renews a lease in the background, and says so in the work when it is lost."""

    def __init__(
        self, engine: sa.Engine, lease: Lease, seconds: float, stopping: threading.Event
    ) -> None:
        self._engine = engine
        self._stopping = stopping
        self._lease = lease
        self._seconds = seconds
        self._progress: dict[str, Any] = {}
        self._lost = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def report(self, stage: str, done: int, total: int) -> None:
        """Take note of progress; written with the next renewal.

        Raises
        ------
        LeaseLostError
            When the package is no longer this worker's.
        """
        if self._stopping.is_set():
            raise _StoppingError
        if self._lost:
            raise LeaseLostError(self._lease.package_id)
        self._progress = {"stage": stage, "loans_done": done, "loans_total": total or None}

    def stop(self) -> None:
        """Stop renewing."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        told: dict[str, Any] = {}
        renewed = time.monotonic()
        while not self._end.wait(min(0.5, self._seconds / 3)):
            due = time.monotonic() - renewed > self._seconds / 3
            if self._progress == told and not due:
                continue
            told = self._progress
            try:
                queue.renew(self._engine, self._lease, self._seconds, **told)
                renewed = time.monotonic()
            except LeaseLostError:
                self._lost = True
                return
            except sa.exc.SQLAlchemyError as error:
                _log.warning("lease not renewed", error=type(error).__name__)
