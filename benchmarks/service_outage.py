"""The database gone for thirty seconds: `python -m benchmarks.service_outage`.

PostgreSQL stopped (every process of it, so that it takes connections and never answers), PostgreSQL
shut down and started again, and a SQLite file locked by another's transaction; each while eight
connections ask for loans and packages are at work and sent. Told is what callers were answered,
how long they waited, and whether anything was lost or doubled.
"""

import io
import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import polars as pl
import psycopg
import sqlalchemy as sa

from benchmarks.service_kills import leftovers
from benchmarks.service_model import small_model
from benchmarks.service_process import Processes, free_port, wait_until_ready
from service import queue
from service.keys import create_key
from service.settings import Settings
from service.storage import PACKAGES, VALUATIONS, open_database
from tests.postgresql import postgresql_server

GONE_SECONDS = 30.0
CONNECTIONS = 8
PACKAGES_SENT = 12
Gone = Callable[[str, Path], AbstractContextManager[None]]
_PARQUET = "application/vnd.apache.parquet"


def main() -> None:
    """Take the database away, and tell."""
    ways: dict[str, Gone] = {
        "SQLite, locked": locked,
        "PostgreSQL, stopped": stopped,
        "PostgreSQL, out of reach and its connections cut": cut,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, tape = small_model(folder)
        for number, (way, gone) in enumerate(ways.items()):
            server = postgresql_server() if way.startswith("PostgreSQL") else nullcontext("")
            with server as url:
                print(f"{way}: {Trial(folder / str(number), bundle, tape, url).run(gone)}")


@contextmanager
def locked(_url: str, data: Path) -> Iterator[None]:
    """Hold SQLite's one lock."""
    connection = sqlite3.connect(data / "service.db", isolation_level=None)
    while True:
        try:
            connection.execute("BEGIN EXCLUSIVE")
            break
        except sqlite3.OperationalError:
            continue
    yield
    connection.execute("ROLLBACK")
    connection.close()


@contextmanager
def stopped(url: str, _data: Path) -> Iterator[None]:
    """Stop every process of a server."""
    first = postmaster(url)
    processes = [first, *children(first)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    yield
    for process in processes:
        os.kill(process, signal.SIGCONT)


@contextmanager
def cut(url: str, _data: Path) -> Iterator[None]:
    """Stop the server from taking connections, and kill those it has, in the middle of commits."""
    first = postmaster(url)
    os.kill(first, signal.SIGSTOP)
    for process in children(first):
        if "postgres: postgres" in Path(f"/proc/{process}/cmdline").read_text():
            os.kill(process, signal.SIGTERM)
    yield
    os.kill(first, signal.SIGCONT)


def postmaster(url: str) -> int:
    """First process of a server."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SHOW data_directory").fetchone()
    assert found is not None
    return int((Path(found[0]) / "postmaster.pid").read_text().split()[0])


def children(parent: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for about in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = about.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(about.parent.name))
    return found


@dataclass
class Trial:
    """Load, the database gone in its middle, and what came of it."""

    folder: Path
    bundle: Path
    tape: pl.DataFrame
    url: str
    ending: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, float, int, str]] = field(default_factory=list)
    probes: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)
    valuations: set[str] = field(default_factory=set)
    packages: list[str] = field(default_factory=list)
    again: Counter[int] = field(default_factory=Counter)

    def run(self, gone: Gone) -> str:
        """Ask, take the database away, give it back, let all end."""
        data, port = self.folder / "data", free_port()
        settings = Settings(model=str(self.bundle), data_folder=data, database_url=self.url)
        engine = open_database(settings)
        secret = create_key(engine, "outage", "operator", 10_000_000)[1]
        given = {
            "NPL_MODEL": str(self.bundle),
            "NPL_DATA_FOLDER": str(data),
            "NPL_DATABASE_URL": self.url,
            "NPL_PORT": str(port),
            "NPL_LEASE_SECONDS": "5",
            "OMP_NUM_THREADS": "1",
        }
        processes = Processes(given, self.folder / "log")
        address = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {secret}"}
        try:
            processes.start("serve")
            wait_until_ready(address)
            asking = [
                threading.Thread(target=self._ask, args=(address, headers))
                for _ in range(CONNECTIONS)
            ]
            asking += [
                threading.Thread(target=self._probe, args=(address, path))
                for path in ("/healthz", "/readyz")
            ]
            sender = threading.Thread(target=self._send, args=(address, headers))
            for thread in (*asking, sender):
                thread.start()
            time.sleep(8)
            with gone(self.url, data):
                began = time.monotonic()
                time.sleep(GONE_SECONDS)
                ended = time.monotonic()
            time.sleep(12)
            self.ending.set()
            for thread in (*asking, sender):
                thread.join()
            self._until_ended(engine)
            chain = "whole" if processes.start("audit", "verify").wait() == 0 else "BROKEN"
            return f"{self._told(began, ended)}; {self._kept(engine, data)}; chain {chain}"
        finally:
            self.ending.set()
            processes.end()
            engine.dispose()

    def _ask(self, address: str, headers: dict[str, str]) -> None:
        loan = {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in self.tape.row(0, named=True).items()
            if value is not None
        }
        body = json.dumps({"loans": [loan]}).encode()
        with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
            while not self.ending.is_set():
                started = time.monotonic()
                answer = client.post("/v1/recoveries", content=body)
                told = "" if answer.is_success else _problem(answer)
                self.answers.append((started, time.monotonic(), answer.status_code, told))
                if answer.is_success:
                    self.valuations.add(answer.json()["valuation_id"])
                else:
                    time.sleep(0.2)

    def _probe(self, address: str, path: str) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            while not self.ending.wait(0.5):
                started = time.monotonic()
                status = client.get(path).status_code
                self.probes.setdefault(path, []).append((started, time.monotonic(), status))

    def _send(self, address: str, headers: dict[str, str]) -> None:
        pause = random.Random(8)
        for number in range(PACKAGES_SENT):
            into = io.BytesIO()
            self.tape.head(1_000 - number).write_parquet(into)
            while True:
                answer = httpx.post(
                    f"{address}/v1/packages",
                    content=into.getvalue(),
                    headers=headers
                    | {"content-type": _PARQUET, "idempotency-key": f"package-{number}"},
                    timeout=120,
                )
                self.again[answer.status_code] += 1
                if answer.is_success:
                    self.packages.append(answer.json()["package_id"])
                    break
                time.sleep(1)
            time.sleep(pause.uniform(0.5, 3.0))

    def _until_ended(self, engine: sa.Engine) -> None:
        open_ = sa.select(sa.func.count()).where(PACKAGES.c.state.not_in(queue.ENDED))
        until = time.monotonic() + 300
        while time.monotonic() < until:
            with engine.connect() as connection:
                if not connection.execute(open_).scalar_one():
                    return
            time.sleep(0.2)

    def _told(self, began: float, ended: float) -> str:
        met = [a for a in self.answers if a[1] > began and a[0] < ended]
        statuses = Counter(answer[2] for answer in met)
        bad = Counter(answer[3] for answer in self.answers if answer[3])
        longest = max(answer[1] - answer[0] for answer in met)
        refused = [a[1] - a[0] for a in met if a[2] == 503]
        back = min((a[1] for a in self.answers if a[0] > ended and a[2] == 200), default=0) - ended
        others = Counter(a[2] for a in self.answers) - statuses
        probes = "; ".join(
            f"{path} {dict(Counter(p[2] for p in seen if began + 6 < p[0] < ended - 1))}"
            f" within {max(p[1] - p[0] for p in seen):.1f} s"
            for path, seen in self.probes.items()
        )
        return (
            f"answers while gone {dict(statuses)}, at any other time {dict(others)}; longest wait"
            f" {longest:.1f} s, of a 503 {max(refused, default=0):.1f} s; problems {dict(bad)};"
            f" first answer {back:.1f} s after its return; {probes};"
            f" answers to packages {dict(self.again)}"
        )

    def _kept(self, engine: sa.Engine, data: Path) -> str:
        with engine.connect() as connection:
            rows = connection.execute(sa.select(PACKAGES)).all()
            entries = [
                json.loads(text)
                for text in connection.execute(sa.select(VALUATIONS.c.entry)).scalars()
            ]
        valued = sorted(entry["package_id"] for entry in entries if entry["kind"] == "package")
        once = valued == sorted(set(self.packages)) == sorted(row.id for row in rows)
        loans = {entry["id"] for entry in entries if entry["kind"] == "recoveries"}
        states = dict(Counter(row.state for row in rows))
        left = [path for path in leftovers(data, rows) if not path.startswith("incoming")]
        return (
            f"packages {states}, {sum(row.attempt for row in rows)} attempts, each once: {once};"
            f" {len(self.valuations):,} answers given, missing on record"
            f" {len(self.valuations - loans)}; left behind: {left or 'nothing'}"
        )


def _problem(answer: httpx.Response) -> str:
    kind = answer.headers["content-type"]
    again = answer.headers.get("retry-after", "no Retry-After")
    return f"{answer.status_code} {kind} {again}: {answer.json()['detail']}"


if __name__ == "__main__":
    main()
