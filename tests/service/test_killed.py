"""A worker killed at its work: what was accepted is finished, once, and the record holds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import sqlalchemy as sa

from service import queue
from service.audit import verify
from service.settings import Settings
from service.storage import PACKAGES, VALUATIONS, open_database

PACKAGES_SENT = 3


def _send(settings: Settings, engine: sa.Engine, tape: pl.DataFrame) -> None:
    for number in range(PACKAGES_SENT):
        folder = settings.data_folder / "packages" / f"p{number}"
        folder.mkdir(parents=True)
        tape.write_parquet(folder / "tape.parquet")
        values = {
            "id": f"p{number}",
            "key_id": "k",
            "idempotency_key": None,
            "input_hash": "0",
            "input_format": ".parquet",
            "parameters": {"reasons": True, "cut_off_date": None},
            "state": queue.QUEUED,
        }
        queue.add(engine, values)


def _worker(settings: Settings) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "NPL_MODEL": settings.model,
        "NPL_DATA_FOLDER": str(settings.data_folder),
        "NPL_LEASE_SECONDS": "1",
    }
    code = "from cli.main import main; import sys; sys.argv = ['npl', 'worker']; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _ended(engine: sa.Engine) -> int:
    ended = sa.select(sa.func.count()).where(PACKAGES.c.state.in_(queue.ENDED))
    with engine.connect() as connection:
        return int(connection.execute(ended).scalar_one())


def _wait(engine: sa.Engine, state: str, count: int, seconds: float) -> None:
    query = sa.select(sa.func.count()).where(PACKAGES.c.state == state)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(query).scalar_one() >= count:
                return
        time.sleep(0.02)
    raise AssertionError(f"no {count} packages {state} within {seconds} s")


def test_killed_workers_lose_nothing_and_do_nothing_twice(
    bundle_folder: Path, tape: pl.DataFrame, tmp_path: Path
) -> None:
    settings = Settings(model=str(bundle_folder), data_folder=tmp_path / "data")
    engine = open_database(settings)
    _send(settings, engine, tape)
    killed = _worker(settings)
    _wait(engine, queue.RUNNING, 1, 60)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert _ended(engine) < PACKAGES_SENT
    heir = _worker(settings)
    try:
        _wait(engine, queue.DONE, PACKAGES_SENT, 60)
    finally:
        heir.terminate()
        heir.wait()
    with engine.connect() as connection:
        entries = connection.execute(sa.select(VALUATIONS.c.entry)).scalars().all()
    valued = sorted(json.loads(entry)["package_id"] for entry in entries)
    assert valued == [f"p{number}" for number in range(PACKAGES_SENT)]
    assert verify(engine).faults == ()
