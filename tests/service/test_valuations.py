"""The record: what stands on it, replays, and every way of changing it found."""

import json
from pathlib import Path

import httpx
import polars as pl
import pytest
import sqlalchemy as sa

from models.bundle import read_bundle
from service import audit
from service.audit import Record, append, verify
from service.settings import Settings
from service.state import Service
from service.storage import CHAIN, VALUATIONS, open_database, writing
from tests.service.conftest import loans_of


@pytest.fixture(scope="module")
def body(tape: pl.DataFrame) -> str:
    loans = loans_of(tape[:5])
    loans[2]["original_amount"] = -1
    return json.dumps({"loans": loans, "reasons": True})


def test_every_answer_is_on_record_without_identifiers(
    client: httpx.Client, service: Service, body: str, tape: pl.DataFrame
) -> None:
    answer = client.post("/v1/recoveries", content=body)
    valuation = answer.json()["valuation_id"]
    entry = client.get(f"/v1/valuations/{valuation}").json()
    assert entry["model_version"] == answer.json()["model_version"]
    assert (entry["kind"], entry["loans"], entry["key_name"]) == ("recoveries", 5, "tests")
    with service.engine.connect() as connection:
        query = sa.select(VALUATIONS).where(VALUATIONS.c.id == valuation)
        row = connection.execute(query).one()
    for loan_id, borrower_id in tape[:5].select("loan_id", "borrower_id").iter_rows():
        for identifier in (loan_id, borrower_id):
            assert identifier.encode() not in row.input
            assert identifier not in row.entry


def test_a_replay_gives_the_same_bytes(client: httpx.Client, body: str) -> None:
    answer = client.post("/v1/recoveries", content=body)
    url = f"/v1/valuations/{answer.json()['valuation_id']}/replay"
    assert client.post(url, content=body).content == answer.content
    kept = client.post(url).json()
    for mine, theirs in zip(answer.json()["loans"], kept["loans"], strict=True):
        assert mine.pop("loan_id") != theirs.pop("loan_id")
        assert mine == theirs
    other = client.post(url, content=body.replace("true", "false"))
    assert other.status_code == 422


def test_a_replay_says_what_is_missing(client: httpx.Client, service: Service, body: str) -> None:
    version = client.get("/v1/models").json()["in_service"]["version"]
    answer = client.post("/v1/recoveries", content=body).json()
    with writing(service.engine).begin() as connection:
        entry = json.loads(
            connection.execute(
                sa.select(VALUATIONS.c.entry).where(VALUATIONS.c.id == answer["valuation_id"])
            ).scalar_one()
        )
        gone = entry | {"model_version": "0" * 16}
        append(connection, [Record("gone", gone, b"")])
    told = client.post("/v1/valuations/gone/replay")
    assert told.status_code == 409
    assert "0" * 16 in told.json()["missing"][0]
    assert version not in told.json()["missing"][0]
    assert client.post("/v1/valuations/nothing/replay").status_code == 404


@pytest.fixture
def chain(tmp_path: Path) -> sa.Engine:
    engine = open_database(Settings(data_folder=tmp_path))
    for first in (1, 4):
        records = [Record(f"v{n}", {"rate": n / 7}, bytes([n])) for n in range(first, first + 3)]
        with writing(engine).begin() as connection:
            append(connection, records)
    return engine


def test_a_chain_left_alone_holds(chain: sa.Engine) -> None:
    assert verify(chain).faults == ()
    assert verify(chain).entries == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE valuations SET entry = replace(entry, '0.2857', '0.9857') WHERE id = 'v2'",
         "the entry was changed"),
        ("UPDATE valuations SET input = x'ff' WHERE id = 'v3'", "stored loans were changed"),
        ("DELETE FROM valuations WHERE id = 'v4'", "entry 4 is gone"),
        ("DELETE FROM valuations WHERE id = 'v6'", "the chain ends at entry 6"),
        ("DELETE FROM valuations WHERE id = 'v1'", "entry 1 is gone"),
        ("UPDATE valuations SET previous_hash = entry_hash WHERE id = 'v5'", "does not follow"),
        ("UPDATE chain SET sequence = 5", "the chain ends at entry 5"),
        ("INSERT INTO valuations SELECT 7, 'v7', entry, previous_hash, entry_hash, input"
         " FROM valuations WHERE id = 'v6'", "does not follow"),
    ],
)  # fmt: skip
def test_every_change_is_found(chain: sa.Engine, change: str, told: str) -> None:
    with writing(chain).begin() as connection:
        connection.execute(sa.text(change))
    assert any(told in fault for fault in verify(chain).faults)


def test_an_entry_rewritten_with_its_own_hash_breaks_the_next(chain: sa.Engine) -> None:
    with writing(chain).begin() as connection:
        row = connection.execute(sa.select(VALUATIONS).where(VALUATIONS.c.id == "v2")).one()
        text = row.entry.replace("0.2857", "0.9857")
        forged = audit._chained(row.previous_hash, text)
        connection.execute(
            sa.update(VALUATIONS)
            .where(VALUATIONS.c.id == "v2")
            .values(entry=text, entry_hash=forged)
        )
    assert [fault for fault in verify(chain).faults if "entry 3" in fault]


def test_the_chain_has_one_end(chain: sa.Engine) -> None:
    with chain.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(CHAIN)).scalar() == 1


def test_every_served_bundle_is_kept(client: httpx.Client, service: Service) -> None:
    version = client.get("/v1/models").json()["in_service"]["version"]
    assert read_bundle(service.settings.data_folder / "bundles" / version).version == version
