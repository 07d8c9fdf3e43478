"""Keys, roles, limits, and a service that is never open by accident."""

import io
import re
import time
from pathlib import Path

import httpx
import polars as pl
import pytest
import structlog

from features.portfolio import Portfolio
from service.errors import RateLimitedError, StartError, UnauthenticatedError
from service.keys import ApiKey, create_key, list_keys, revoke_key
from service.security import Gatekeeper, first_key
from service.settings import Settings
from service.state import Service
from service.storage import open_database
from tests.service.conftest import CSV, XLSX, MakeService, running, wait_for

PROTECTED = (
    ("POST", "/v1/recoveries"),
    ("POST", "/v1/packages"),
    ("GET", "/v1/packages/a"),
    ("PUT", "/v1/packages/a/ledger"),
    ("DELETE", "/v1/packages/a"),
    ("GET", "/v1/packages/a/events"),
    ("GET", "/v1/packages/a/result"),
    ("GET", "/v1/packages/a/summary"),
    ("GET", "/v1/packages/a/page"),
    ("GET", "/v1/packages/a/monitoring"),
    ("GET", "/v1/packages/a/monitoring/page"),
    ("GET", "/v1/packages/a/pictures/cash.svg"),
    ("GET", "/v1/valuations/a"),
    ("POST", "/v1/valuations/a/replay"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/a/card"),
    ("GET", "/v1/models/shadow"),
    ("GET", "/v1/models/a/accuracy"),
    ("GET", "/v1/models/a/backtest"),
    ("GET", "/metrics"),
)


def test_every_route_but_health_takes_a_key(client: httpx.Client, service: Service) -> None:
    document = client.get("/openapi.json").json()
    routes = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    open_routes = {("GET", "/healthz"), ("GET", "/readyz")}
    tested = {(m, re.sub(r"(packages|valuations|models)/a", r"\1/{}", p)) for m, p in PROTECTED}
    named = {(m, re.sub(r"\{\w+_id\}|\{version\}", "{}", p)) for m, p in routes - open_routes}
    assert {(m, p.replace("cash.svg", "{name}.svg")) for m, p in tested} == named


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_no_key_and_a_wrong_key_are_refused(client: httpx.Client, method: str, path: str) -> None:
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer npl_guess"}):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("valuer", "GET", "/metrics", 403),
        ("valuer", "GET", "/v1/models", 200),
        ("reviewer", "POST", "/v1/recoveries", 403),
        ("reviewer", "POST", "/v1/packages", 403),
        ("reviewer", "GET", "/metrics", 200),
        ("operator", "GET", "/metrics", 200),
    ],
)
def test_a_role_may_do_what_it_may(
    client: httpx.Client, service: Service, role: str, method: str, path: str, status: int
) -> None:
    secret = create_key(service.engine, role, role)[1]  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.request(method, path, headers=headers).status_code == status


def test_a_key_is_kept_as_a_hash_and_can_be_revoked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(Settings(data_folder=tmp_path))
    key, secret = create_key(engine, "a", "valuer")
    assert secret.encode() not in (tmp_path / "service.db").read_bytes()
    keeper = Gatekeeper(engine, 60)
    assert keeper.key_of(secret) == key
    revoke_key(engine, key.id)
    with pytest.raises(UnauthenticatedError):
        Gatekeeper(engine, 60).key_of(secret)
    # One that has asked before forgets within its time.
    later = time.monotonic() + 2.1
    monkeypatch.setattr("service.security.time.monotonic", lambda: later)
    with pytest.raises(UnauthenticatedError):
        keeper.key_of(secret)


def test_a_keys_allowance_fills_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr("service.security.time.monotonic", lambda: moment)
    keeper = Gatekeeper(open_database(Settings(data_folder=tmp_path)), 1_000)
    key = ApiKey("a", "a", "valuer", 3, "", None)
    for _ in range(3):
        keeper.count(key)
    with pytest.raises(RateLimitedError) as refused:
        keeper.count(key)
    assert refused.value.more["retry_after_seconds"] == pytest.approx(20)
    moment += 21
    keeper.count(key)
    with pytest.raises(RateLimitedError):
        keeper.count(key)


def test_a_limited_key_is_told_when_to_come_back(client: httpx.Client, service: Service) -> None:
    secret = create_key(service.engine, "few", "valuer", 1)[1]
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    refused = client.get("/v1/models", headers=headers)
    assert refused.status_code == 429
    assert 50 <= int(refused.headers["retry-after"]) <= 60


def test_the_first_key_is_made_on_loopback_only(tmp_path: Path) -> None:
    engine = open_database(Settings(data_folder=tmp_path))
    with pytest.raises(StartError, match="no API key exists"):
        first_key(engine, Settings(data_folder=tmp_path, host="0.0.0.0"))
    assert list_keys(engine) == []
    assert first_key(engine, Settings(data_folder=tmp_path)) is not None
    assert first_key(engine, Settings(data_folder=tmp_path)) is None
    assert first_key(engine, Settings(data_folder=tmp_path, host="0.0.0.0")) is None


def test_logs_name_no_loan_and_no_key(client: httpx.Client, key: str) -> None:
    loan = {"loan_id": "SECRET-LOAN", "borrower_id": "SECRET-BORROWER"}
    with structlog.testing.capture_logs() as lines:
        client.post("/v1/recoveries", json={"loans": [loan]})
        client.get("/v1/packages/SECRET-PACKAGE")
        while len(lines) < 2:
            time.sleep(0.01)
    assert "SECRET" not in str(lines)
    assert key not in str(lines)
    assert {line["route"] for line in lines} == {"/v1/recoveries", "/v1/packages/{package_id}"}


def test_personal_data_is_refused_by_policy(make_service: MakeService) -> None:
    strict = make_service(personal_data="refuse", workers_in_process=0)
    secret = create_key(strict.engine, "a", "valuer")[1]
    with running(strict) as address:
        for loan, told in (
            ({"loan_id": "A", "借款人姓名": "somebody"}, "借款人姓名"),
            ({"loan_id": "110101199003071234"}, "loan_id"),
            ({"loan_id": "A", "borrower_id": "13812345678"}, "borrower_id"),
        ):
            answer = httpx.post(
                f"{address}/v1/recoveries",
                json={"loans": [loan]},
                headers={"Authorization": f"Bearer {secret}"},
            )
            assert answer.status_code == 422
            assert told in answer.json()["detail"]
            assert "13812345678" not in answer.text
        table = httpx.post(
            f"{address}/v1/packages",
            content="loan_id,手机号\nA,1\n",
            headers={"Authorization": f"Bearer {secret}", "content-type": "text/csv"},
        )
        assert table.status_code == 422


def test_personal_columns_behind_short_headers_are_refused(
    make_service: MakeService, simulated: Portfolio
) -> None:
    strict = make_service(personal_data="refuse")
    secret = create_key(strict.engine, "a", "valuer")[1]
    tape = simulated.tape.drop("closed_date", "disposal_status").head(3).collect()
    texts = tape.with_columns(pl.col(pl.Enum).cast(pl.String), 姓名=pl.lit("某" * 400))
    book = io.BytesIO()
    texts.with_columns(pl.col(pl.Boolean).cast(pl.String)).write_excel(book)
    with running(strict) as address:
        headers = {"Authorization": f"Bearer {secret}"}
        for content, kind in ((texts.write_csv().encode(), CSV), (book.getvalue(), XLSX)):
            answer = httpx.post(
                f"{address}/v1/packages", content=content, headers=headers | {"content-type": kind}
            )
            if answer.status_code == 202:
                with httpx.Client(base_url=address, headers=headers) as asking:
                    ended = wait_for(asking, answer.json()["package_id"])
                assert ended["state"] == "failed"
                assert "姓名" in ended["problem"]["detail"]
            else:
                assert answer.status_code == 422


def test_health_is_open_and_says_little(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"Authorization": ""}).json() == {"status": "alive"}
    assert client.get("/readyz", headers={"Authorization": ""}).status_code == 200
    figures = client.get("/metrics").text
    assert 'npl_requests_total{method="GET",route="/healthz",status="200"}' in figures
    assert "npl_model_in_service{" in figures
