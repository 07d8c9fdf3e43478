"""Processes killed at random moments: `python -m benchmarks.service_kills`.

A client sends twenty packages over HTTP, each under its own Idempotency-Key, and sends again until
it is answered. Meanwhile the service with its worker inside, or the worker beside it, is killed
with SIGKILL twenty times and started anew. On SQLite and on PostgreSQL. Told is whether every
package was finished, once, with the figures of `npl score`; whether the record holds; and what was
left behind.
"""

import io
import json
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import sqlalchemy as sa

from benchmarks.service_model import small_model
from benchmarks.service_process import Processes, free_port, kill, wait_until_ready
from features.sources.result import no_ledger
from models.bundle import Bundle, read_bundle
from models.scoring import score_loans
from service import queue
from service.clock import now
from service.keys import create_key
from service.settings import Settings
from service.storage import PACKAGES, VALUATIONS, open_database
from tests.postgresql import postgresql_server

PACKAGES_SENT = 20
KILLS = 20
# Packages that are sent ahead of the kills: some are always at work or on their way.
AHEAD = 3
_END_SECONDS = 600.0


def main() -> None:
    """Kill, and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, tape = small_model(folder)
        for database in ("SQLite", "PostgreSQL"):
            for victim in ("service", "worker"):
                server = postgresql_server() if database == "PostgreSQL" else nullcontext("")
                with server as url:
                    place = folder / f"{database}-{victim}"
                    told = Trial(place, bundle, tape, url, victim).run()
                print(f"{database}, {victim}: {told}", flush=True)


@dataclass
class Trial:
    """Twenty packages and twenty kills."""

    folder: Path
    bundle: Path
    tape: pl.DataFrame
    url: str
    victim: str
    draw: random.Random = field(default_factory=lambda: random.Random(6))
    kills: int = 0
    answers: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def run(self) -> str:
        """Kill while a client sends, let all end, and look at what there is."""
        data, port = self.folder / "data", free_port()
        settings = Settings(model=str(self.bundle), data_folder=data, database_url=self.url)
        engine = open_database(settings)
        secret = create_key(engine, "kills", "operator")[1]
        given = {
            "NPL_MODEL": str(self.bundle),
            "NPL_DATA_FOLDER": str(data),
            "NPL_DATABASE_URL": self.url,
            "NPL_PORT": str(port),
            "NPL_LEASE_SECONDS": "2",
            "NPL_WORKERS_IN_PROCESS": "1" if self.victim == "service" else "0",
            "OMP_NUM_THREADS": "1",
        }
        processes = Processes(given, self.folder / "log")
        address = f"http://127.0.0.1:{port}"
        command = "serve" if self.victim == "service" else "worker"
        try:
            if self.victim == "worker":
                processes.start("serve")
                wait_until_ready(address)
            client = threading.Thread(target=self._send, args=(address, secret))
            client.start()
            while self.kills < KILLS:
                process = processes.start(command)
                if self.victim == "service":
                    wait_until_ready(address)
                else:
                    _until_at_work(engine)
                time.sleep(self.draw.uniform(0, 2.5))
                kill(process)
                self.kills += 1
            processes.start(command)
            client.join(_END_SECONDS)
            _until_ended(engine)
            # Whoever starts last clears up what the others left.
            time.sleep(3)
            return self._found(engine, data, processes)
        finally:
            processes.end()
            engine.dispose()

    def _send(self, address: str, secret: str) -> None:
        headers = {"Authorization": f"Bearer {secret}", "content-type": _PARQUET}
        pause = random.Random(7)
        for number in range(PACKAGES_SENT):
            while number >= self.kills + AHEAD:
                time.sleep(0.05)
            into = io.BytesIO()
            self.tape.head(1_000 - number).write_parquet(into)
            while True:
                try:
                    answer = httpx.post(
                        f"{address}/v1/packages",
                        content=into.getvalue(),
                        headers=headers | {"idempotency-key": f"package-{number}"},
                        timeout=30,
                    )
                except httpx.TransportError:
                    self.answers.append(0)
                else:
                    self.answers.append(answer.status_code)
                    if answer.is_success:
                        self.sent.append(answer.json()["package_id"])
                        break
                time.sleep(pause.uniform(0.1, 1.0))

    def _found(self, engine: sa.Engine, data: Path, processes: Processes) -> str:
        audit = processes.start("audit", "verify")
        chain = "whole" if audit.wait() == 0 else "BROKEN"
        with engine.connect() as connection:
            rows = connection.execute(sa.select(PACKAGES)).all()
            entries = connection.execute(sa.select(VALUATIONS.c.entry)).scalars().all()
        valued = sorted(json.loads(entry)["package_id"] for entry in entries)
        done = sorted(row.id for row in rows if row.state == queue.DONE)
        once = valued == done == sorted(set(self.sent)) and len(done) == PACKAGES_SENT
        bundle = read_bundle(self.bundle)
        right = sum(self._as_scored(data, row, bundle) for row in rows)
        again = {status: self.answers.count(status) for status in sorted(set(self.answers))}
        left = leftovers(data, rows)
        return (
            f"{self.kills} kills, {len(self.answers)} requests {again}, {len(rows)} packages,"
            f" {sum(row.attempt for row in rows)} attempts; done {len(done)},"
            f" valuations {len(valued)}; each once: {once}; figures as scored: {right};"
            f" chain {chain}; left behind: {left or 'nothing'}"
        )

    def _as_scored(self, data: Path, row: sa.Row[Any], bundle: Bundle) -> bool:
        folder = data / "packages" / row.id
        tape = pl.scan_parquet(folder / "tape.parquet")
        expected = score_loans(bundle.model, tape, no_ledger().lazy(), explain=True)
        found = pl.read_parquet(folder / f"result-{row.attempt}" / "scores.parquet")
        return found.equals(expected)


_PARQUET = "application/vnd.apache.parquet"


def leftovers(data: Path, rows: Sequence[sa.Row[Any]]) -> list[str]:
    """Files and folders that belong to no package as it ended."""
    right = set()
    for row in rows:
        right |= {
            data / "packages" / row.id / "tape.parquet",
            data / "packages" / row.id / f"result-{row.attempt}",
            data / "kept" / row.id / str(row.attempt),
        }
    found = {*data.glob("packages/*/*"), *data.glob("kept/*/*"), *data.glob("incoming/*/*")}
    empty = {path for path in data.glob("packages/*") if not any(path.iterdir())}
    missing = {f"missing: {path}" for path in right - found}
    return sorted({str(path.relative_to(data)) for path in (found - right) | empty} | missing)


def _until_at_work(engine: sa.Engine) -> None:
    held = sa.select(sa.func.count()).where(PACKAGES.c.state == queue.RUNNING)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with engine.connect() as connection:
            if connection.execute(held.where(PACKAGES.c.lease_until > now())).scalar_one():
                return
        time.sleep(0.05)


def _until_ended(engine: sa.Engine) -> None:
    open_ = sa.select(sa.func.count()).where(PACKAGES.c.state.not_in(queue.ENDED))
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until:
        with engine.connect() as connection:
            if not connection.execute(open_).scalar_one():
                return
        time.sleep(0.2)


if __name__ == "__main__":
    main()
