"""Workers killed at random moments: `python -m benchmarks.service_kills`.

Sends twenty packages to a service's queue, kills the worker with SIGKILL at twenty random moments,
and tells whether every package was finished, once, and whether the record holds.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from benchmarks.service_model import small_model
from service import queue
from service.audit import verify
from service.settings import Settings
from service.storage import PACKAGES, VALUATIONS, open_database

PACKAGES_SENT = 20
KILLS = 20


def main() -> None:
    """Kill, and tell."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, tape = small_model(folder)
        settings = Settings(
            model=str(bundle),
            data_folder=folder / "data",
            database_url=os.environ.get("NPL_DATABASE_URL", ""),
        )
        engine = open_database(settings)
        for number in range(PACKAGES_SENT):
            place = settings.data_folder / "packages" / f"p{number:02d}"
            place.mkdir(parents=True)
            tape.write_parquet(place / "tape.parquet")
            queue.add(engine, _values(f"p{number:02d}"))
        draw = random.Random(6)
        kills = 0
        while kills < KILLS and _count(engine, queue.DONE) < PACKAGES_SENT:
            worker = _worker(settings)
            _until_running(engine)
            time.sleep(draw.uniform(0, 1.5))
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            kills += 1
        worker = _worker(settings)
        while _count(engine, queue.DONE) + _count(engine, queue.FAILED) < PACKAGES_SENT:
            time.sleep(0.2)
        worker.terminate()
        worker.wait()
        with engine.connect() as connection:
            entries = connection.execute(sa.select(VALUATIONS.c.entry)).scalars().all()
            attempts = connection.execute(sa.select(sa.func.sum(PACKAGES.c.attempt))).scalar_one()
        valued = [json.loads(entry)["package_id"] for entry in entries]
        print(
            f"{engine.dialect.name}: {kills} kills, {attempts} attempts, {PACKAGES_SENT} packages;"
            f" done {_count(engine, queue.DONE)}, failed {_count(engine, queue.FAILED)},"
            f" valuations {len(valued)} of {len(set(valued))} packages;"
            f" faults of the chain: {list(verify(engine).faults)}"
        )


def _values(name: str) -> dict[str, object]:
    return {
        "id": name,
        "key_id": "k",
        "idempotency_key": None,
        "input_hash": "0",
        "input_format": ".parquet",
        "parameters": {"reasons": True, "cut_off_date": None},
        "state": queue.QUEUED,
    }


def _worker(settings: Settings) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "NPL_MODEL": settings.model,
        "NPL_DATA_FOLDER": str(settings.data_folder),
        "NPL_LEASE_SECONDS": "2",
    }
    code = "from cli.main import main; import sys; sys.argv = ['npl', 'worker']; main()"
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=nothing, stderr=nothing
    )


def _count(engine: sa.Engine, state: str) -> int:
    with engine.connect() as connection:
        query = sa.select(sa.func.count()).where(PACKAGES.c.state == state)
        return int(connection.execute(query).scalar_one())


def _until_running(engine: sa.Engine) -> None:
    before = time.monotonic()
    held = sa.select(sa.func.count()).where(PACKAGES.c.state == queue.RUNNING)
    from service.clock import now  # noqa: PLC0415

    while time.monotonic() - before < 60:
        with engine.connect() as connection:
            if connection.execute(held.where(PACKAGES.c.lease_until > now())).scalar_one():
                return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
