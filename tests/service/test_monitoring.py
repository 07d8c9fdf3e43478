"""Valuations beside their later cash, against ledgers added up by hand."""

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from benchmarks.night_world import deliver
from cli.main import app
from cli.monitor import DOCUMENT, PAGE, WARNED_EXIT
from features.ingest import ingest
from features.portfolio import Portfolio
from features.store import PortfolioStore, open_store
from service import known_cash, queue, recorded_forecasts, routes
from service.audit import Record, find
from service.errors import StartError
from service.identifiers import KeyedHash
from service.kept_forecasts import recorded_valuation
from service.keys import create_key
from service.known_cash import KnownCash
from service.monitoring import overview, package_monitoring
from service.package_folder import FORECASTS, PackageFolder
from service.state import Service
from tests.html_page import Page
from tests.service.conftest import PARQUET, MakeService, loans_of, running, wait_for

NIGHTS = (date(2023, 12, 31), date(2024, 12, 31))
PACKAGE = "consumer-202304-11"
STRANGERS = 2


@pytest.fixture(scope="module")
def portfolio_store(simulated: Portfolio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the bank had delivered by two nights."""
    folder = tmp_path_factory.mktemp("portfolio-store")
    for night in NIGHTS:
        delivery = deliver(simulated, night, folder / f"{night}")
        ingest(delivery, folder / "store", known_at=datetime(night.year + 1, 1, 2, tzinfo=UTC))
    return folder / "store"


@pytest.fixture(scope="module")
def package(simulated: Portfolio) -> pl.DataFrame:
    """A package as its buyer sees it; the store knows all but two of its loans."""
    loans = simulated.tape.filter(pl.col("package_id") == PACKAGE).collect()
    place = pl.int_range(pl.len())
    return loans.drop("closed_date", "disposal_status").with_columns(
        loan_id=pl.when(place < STRANGERS)
        .then(pl.lit("X-") + pl.col("loan_id"))
        .otherwise("loan_id")
    )


@pytest.fixture(scope="module")
def watched(make_service: MakeService, portfolio_store: Path) -> Service:
    return make_service(store=portfolio_store)


@pytest.fixture(scope="module")
def asking(watched: Service) -> Iterator[httpx.Client]:
    key = create_key(watched.engine, "monitoring", "operator")[1]
    headers = {"Authorization": f"Bearer {key}"}
    with (
        running(watched) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        yield client


def sent(client: httpx.Client, tape: pl.DataFrame, path: Path) -> str:
    tape.write_parquet(path)
    headers = {"content-type": PARQUET}
    answer = client.post("/v1/packages", content=path.read_bytes(), headers=headers)
    status = wait_for(client, answer.json()["package_id"])
    assert status["state"] == "done", status
    return str(status["package_id"])


@pytest.fixture(scope="module")
def package_id(
    asking: httpx.Client, package: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> str:
    return sent(asking, package, tmp_path_factory.mktemp("sent") / "tape.parquet")


def by_hand(
    scores: pl.DataFrame, ledger: pl.DataFrame, until: date, known_on: date
) -> tuple[float, float]:
    """Forecast and realised cash of the package's known loans by the end of a month."""
    months = (until.year - 2023) * 12 + until.month - 4
    known = scores.filter(~pl.col("loan_id").str.starts_with("X-"))
    forecast = 0.0
    for row in known.iter_rows(named=True):
        rates = [0.0, *(row[f"recovery_rate_{h:02d}m"] for h in (6, 12, 24, 36, 48, 60))]
        forecast += row["ead"] * float(np.interp(months, [0, 6, 12, 24, 36, 48, 60], rates))
    paid = 0.0
    ids = set(known["loan_id"])
    for row in ledger.iter_rows(named=True):
        due = date(2023, 4, 30) < row["period"] <= until
        if row["loan_id"] in ids and due and row["recorded_at"].date() <= known_on:
            paid += row["gross_amount"] - row["cost_amount"]
    return forecast, paid


@pytest.mark.parametrize(
    ("as_of", "until", "known_on", "months"),
    [(None, date(2024, 11, 30), NIGHTS[1], 19), ("2024-06-30", date(2023, 11, 30), NIGHTS[0], 7)],
)
def test_a_package_meets_its_cash_as_it_was_known(
    asking: httpx.Client,
    package_id: str,
    simulated: Portfolio,
    as_of: str | None,
    until: date,
    known_on: date,
    months: int,
) -> None:
    asked = {} if as_of is None else {"as_of": as_of}
    told = asking.get(f"/v1/packages/{package_id}/monitoring", params=asked).json()
    assert told["known_until_date"] == known_on.isoformat()
    assert told["loans"] == {"valued": 120, "found": 118, "not_found": 2, "incomplete": 0}
    assert len(told["months"]) == months
    last = told["months"][-1]
    result = asking.get(f"/v1/packages/{package_id}/result?format=parquet").content
    forecast, paid = by_hand(pl.read_parquet(result), simulated.ledger.collect(), until, known_on)
    assert (last["month"], last["months"]) == (f"{until:%Y-%m}", pytest.approx(months))
    assert last["forecast_amount"] == pytest.approx(forecast)
    assert last["actual_amount"] == pytest.approx(paid, abs=1.2)
    assert paid > 0
    assert last["low_amount"] < forecast < last["high_amount"]
    outside = not last["low_amount"] <= paid <= last["high_amount"]
    assert (told["status"] == "early_warning") == outside == (last["p_value"] < 1 - told["level"])
    assert "loan_id" not in json.dumps(told)


def test_the_page_draws_it_in_both_languages(asking: httpx.Client, package_id: str) -> None:
    answer = asking.get(f"/v1/packages/{package_id}/monitoring/page")
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    assert page.unbalanced == []
    assert "script" not in page.tags
    assert page.tags.count("circle") == 19
    assert "Realised" in page.words
    assert "实际" in page.words
    assert not [value for _, name, value in page.attributes if name in ("src", "href")]


def test_a_store_that_is_being_read_keeps_nobody_else_waiting(
    make_service: MakeService,
    watched: Service,
    package_id: str,
    package: pl.DataFrame,
    portfolio_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = make_service(
        store=portfolio_store, data_folder=watched.settings.data_folder, workers_in_process=0
    )
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'slow', 'operator')[1]}"}
    path, go_on, begun = f"/v1/packages/{package_id}/monitoring", threading.Event(), []
    read, followed = KnownCash.of, []

    def slowly(store: PortfolioStore, hashes: KeyedHash) -> KnownCash:
        begun.append(store.last.number)
        assert go_on.wait(60)
        return read(store, hashes)

    def followed_once(*given: Any) -> Any:
        followed.append(given[0])
        return package_monitoring(*given)

    monkeypatch.setattr(routes.monitoring, "package_monitoring", followed_once)
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
        # More than the threads that all routes share.
        ThreadPoolExecutor(50) as callers,
    ):
        past = {"as_of": "2024-06-30"}
        assert client.get(path, params=past).status_code == 200
        monkeypatch.setattr(KnownCash, "of", slowly)
        monkeypatch.setattr(known_cash, "_WAIT_SECONDS", 3.0)
        try:
            waiting = [callers.submit(client.get, path) for _ in range(45)]
            while not begun:
                time.sleep(0.01)
            since = time.monotonic()
            scored = client.post("/v1/recoveries", json={"loans": loans_of(package[:1])})
            assert scored.status_code == 200
            assert client.get(path, params=past).status_code == 200
            assert time.monotonic() - since < 2
            answers = [answer.result() for answer in waiting]
        finally:
            go_on.set()
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "is being read" in answer.json()["detail"]
        # What was begun went on, once, and the page has the figures of the first answer.
        monkeypatch.setattr(known_cash, "_WAIT_SECONDS", 60.0)
        assert client.get(path).status_code == 200
        assert client.get(f"{path}/page").status_code == 200
    assert begun == [1]
    assert len(followed) == 2


def test_a_store_lost_while_the_service_runs_is_told(
    make_service: MakeService,
    watched: Service,
    asking: httpx.Client,
    package_id: str,
    package: pl.DataFrame,
    portfolio_store: Path,
    tmp_path: Path,
) -> None:
    other = sent(asking, package[5:15], tmp_path / "tape.parquet")
    store = tmp_path / "store"
    shutil.copytree(portfolio_store, store)
    service = make_service(
        store=store, data_folder=watched.settings.data_folder, workers_in_process=0
    )
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'lost', 'operator')[1]}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        assert client.get(f"/v1/packages/{package_id}/monitoring").status_code == 200
        for file in store.rglob("ledger/*.parquet"):
            file.unlink()
        answer = client.get(f"/v1/packages/{other}/monitoring")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "store cannot be read" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text


@pytest.fixture
def replaced(make_service: MakeService, watched: Service, tmp_path: Path) -> Any:
    """The same service beside another store."""

    def make(store: Path | None) -> tuple[Service, str]:
        own = make_service(
            store=store, data_folder=watched.settings.data_folder, workers_in_process=0
        )
        return own, create_key(own.engine, "other", "operator")[1]

    return make


def problem_of(made: tuple[Service, str], package_id: str, **asked: str) -> tuple[int, str]:
    service, key = made
    headers = {"Authorization": f"Bearer {key}"}
    with running(service) as address:
        url = f"{address}/v1/packages/{package_id}/monitoring"
        answer = httpx.get(url, headers=headers, params=asked, timeout=60)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["detail"]


def test_what_cannot_be_told_says_why(
    replaced: Any,
    asking: httpx.Client,
    package_id: str,
    package: pl.DataFrame,
    portfolio_store: Path,
    tmp_path: Path,
) -> None:
    assert problem_of(replaced(None), package_id)[0] == 409
    assert "NPL_STORE" in problem_of(replaced(None), package_id)[1]
    status, told = problem_of(replaced(portfolio_store), package_id, as_of="2023-06-30")
    assert (status, told) == (409, "nothing was known on 2023-06-30")
    stranger = sent(asking, package[:STRANGERS], tmp_path / "tape.parquet")
    status, told = problem_of(replaced(portfolio_store), stranger)
    assert status == 404
    assert "none of the 2 loans" in told
    assert asking.get("/v1/packages/none/monitoring").status_code == 404
    broken = tmp_path / "broken"
    shutil.copytree(portfolio_store, broken)
    for file in broken.rglob("ledger/*.parquet"):
        file.write_bytes(b"PAR1")
    status, told = problem_of(replaced(broken), package_id)
    assert status == 503
    assert str(tmp_path) not in told


def test_forecasts_that_were_altered_are_not_followed(
    asking: httpx.Client, watched: Service, package: pl.DataFrame, tmp_path: Path
) -> None:
    package_id = sent(asking, package[:10], tmp_path / "tape.parquet")
    valuation = asking.get(f"/v1/packages/{package_id}").json()["valuation_id"]
    attempt = asking.get(f"/v1/valuations/{valuation}").json()["attempt"]
    path = PackageFolder(watched.settings.data_folder, package_id).kept(attempt) / FORECASTS
    content = path.read_bytes()
    kept = pl.read_parquet(content)
    assert not set(kept["loan_id"]) & set(package["loan_id"])
    kept.with_columns(pl.col("recovery_rate") * 2).write_parquet(path)
    answer = asking.get(f"/v1/packages/{package_id}/monitoring")
    assert answer.status_code == 409
    assert "altered" in answer.json()["detail"]
    path.unlink()
    assert "missing" in asking.get(f"/v1/packages/{package_id}/monitoring").json()["detail"]
    path.write_bytes(content)
    assert asking.get(f"/v1/packages/{package_id}/monitoring").status_code == 200


def paid_to(simulated: Portfolio, loans: pl.DataFrame, cut_off: date) -> float:
    """Net cash of loans after a day, as it was booked on the last night."""
    came = simulated.ledger.filter(
        pl.col("loan_id").is_in(loans["loan_id"].to_list()),
        pl.col("period").is_between(cut_off, date(2024, 11, 30)),
        pl.col("recorded_at").dt.date() <= NIGHTS[1],
    )
    net = pl.col("gross_amount").sum() - pl.col("cost_amount").sum()
    return float(came.select(net).collect().item())


def npl(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["monitor", *map(str, arguments)])


def test_the_overview_has_every_valuation(
    make_service: MakeService,
    portfolio_store: Path,
    simulated: Portfolio,
    package: pl.DataFrame,
    tmp_path: Path,
) -> None:
    service = make_service(store=portfolio_store)
    key = create_key(service.engine, "a", "valuer")[1]
    headers = {"Authorization": f"Bearer {key}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        package_id = sent(client, package, tmp_path / "tape.parquet")
        # Ten of the package again, and five of another vintage, loan by loan.
        others = simulated.tape.filter(pl.col("package_id") == "sme-202307-06").head(5).collect()
        asked: list[dict[str, Any]] = [
            {"loans": loans_of(package[10:20])},
            {"loans": loans_of(others.drop("closed_date", "disposal_status"))},
        ]
        # And the ten month after month: two of the days lie in the next quarter, one in the same.
        days = ("2023-05-31", "2023-08-31", "2023-07-31")
        asked += [asked[0] | {"cut_off_date": day} for day in days]
        for body in asked:
            answer = client.post("/v1/recoveries", json=body)
            assert answer.status_code == 200, answer.text
        monitored = client.get(f"/v1/packages/{package_id}/monitoring").json()
    metrics = tmp_path / "monitoring.prom"
    folder = service.settings.data_folder
    ran = npl("--store", portfolio_store, "--data", folder, "--out", tmp_path / "out",
              "--metrics", metrics)  # fmt: skip
    told = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    assert ran.exit_code == (WARNED_EXIT if told["alarms"] else 0), ran.output
    assert told["loans"] == {"valued": 165, "found": 163, "not_found": 2, "incomplete": 0}
    (of_package,) = told["packages"]
    assert of_package["package_id"] == package_id
    for name in ("forecast_amount", "actual_amount", "low_amount", "p_value"):
        assert of_package[name] == pytest.approx(monitored["months"][-1][name])
    # A loan that one model valued five times counts once, and once in each vintage.
    assert [(row["vintage"], row["loans"]) for row in told["vintages"]] == [
        ("2023Q2", 118), ("2023Q3", 15),
    ]  # fmt: skip
    (of_model,) = told["models"]
    assert of_model["loans"] == 123
    # With its earliest cut-off: all that its package was paid, and what came to the five others.
    paid = of_package["actual_amount"] + paid_to(simulated, others, date(2023, 7, 31))
    assert of_model["actual_amount"] == pytest.approx(paid, abs=1.2)
    curve = told["curves"][of_model["model_version"]]
    assert max(row["loans"] for row in curve) == 123
    assert curve[-1]["actual_amount"] == pytest.approx(of_model["actual_amount"])
    (third,) = [row for row in told["vintages"] if row["vintage"] == "2023Q3"]
    revalued = paid_to(simulated, package[10:20], date(2023, 7, 31))
    paid = revalued + paid_to(simulated, others, date(2023, 7, 31))
    assert third["actual_amount"] == pytest.approx(paid, abs=1.2)
    page = Page((tmp_path / "out" / PAGE).read_text())
    assert page.unbalanced == []
    assert package_id in page.words
    assert 'npl_monitoring_groups{by="vintages"} 2.0' in metrics.read_text()


def test_cash_that_stays_away_is_an_early_warning(
    watched: Service, package_id: str, simulated: Portfolio, tmp_path: Path
) -> None:
    ids = simulated.tape.filter(pl.col("package_id") == PACKAGE).select("loan_id")
    away = simulated.with_tables(
        simulated.tape, simulated.ledger.join(ids, on="loan_id", how="anti", maintain_order="left")
    )
    store = tmp_path / "store"
    ingest(deliver(away, NIGHTS[1], tmp_path / "night"), store)
    folder = watched.settings.data_folder
    ran = npl("--store", store, "--data", folder, "--out", tmp_path / "out",
              "--metrics", tmp_path / "m.prom")  # fmt: skip
    assert ran.exit_code == WARNED_EXIT, ran.output
    told = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    (row,) = [row for row in told["packages"] if row["package_id"] == package_id]
    assert (row["warning"], row["status"], row["actual_amount"]) == ("below", "early_warning", 0)
    assert {alarm["by"] for alarm in told["alarms"]} >= {"packages", "models"}
    assert "npl_monitoring_alarms" in (tmp_path / "m.prom").read_text()
    assert "Early warning" in (tmp_path / "out" / PAGE).read_text()


def test_models_that_are_not_kept_are_left_out_one_by_one(
    make_service: MakeService,
    watched: Service,
    package_id: str,
    portfolio_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = make_service(
        store=portfolio_store, data_folder=watched.settings.data_folder, workers_in_process=0
    )
    # A valuation of a model that is gone, on record beside the others.
    row = queue.find(service.engine, package_id)
    assert row is not None
    recorded = find(service.engine, row.valuation_id)
    assert recorded is not None
    entry = json.loads(recorded.entry)
    for name in ("id", "sequence", "stored_input_hash"):
        del entry[name]
    gone = Record("gone" * 8, entry | {"model_version": "gone"}, None)
    service.recorder.add(gone).result()
    known = KnownCash.of(open_store(portfolio_store), service.hashes)
    before, held, most = recorded_valuation, [], []
    pool: Any = service.engine.pool

    def reads(row: Any, folder: Path) -> Any:
        # No other reads or writes wait for a transaction that lasts as long as this.
        most.append(pool.checkedout())
        held.append(row.id)
        return before(row, folder)

    monkeypatch.setattr(recorded_forecasts, "recorded_valuation", reads)
    told = overview(service.engine, service.settings.data_folder, service.model.archived, known)
    (said,) = [said for said in told["left_out"] if "gone" in said]
    assert said.startswith("model gone: ")
    assert package_id in [row["package_id"] for row in told["packages"]]
    assert [row["model_version"] for row in told["models"]] == [service.model.served.version]
    # Nothing is loaded that no model can follow, and no transaction is open meanwhile.
    assert "gone" * 8 not in held
    assert set(most) == {0}


def test_a_folder_without_a_database_is_refused(portfolio_store: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "other", tmp_path / "out"
    folder.mkdir()
    (folder / "identifier.key").write_text("key")
    ran = npl("--store", portfolio_store, "--data", folder, "--out", out)
    assert isinstance(ran.exception, StartError)
    assert "no database there" in str(ran.exception)
    assert [path.name for path in folder.iterdir()] == ["identifier.key"]
    sqlite3.connect(folder / "service.db").execute("CREATE TABLE t (x)").connection.close()
    ran = npl("--store", portfolio_store, "--data", folder, "--out", out)
    assert isinstance(ran.exception, StartError)
    assert "it lacks chain, valuations" in str(ran.exception)
    (folder / "service.db").write_bytes(b"no database" * 100)
    ran = npl("--store", portfolio_store, "--data", folder, "--out", out)
    assert isinstance(ran.exception, StartError)
    assert "cannot be read" in str(ran.exception)
    assert not out.exists()


def test_another_folder_than_the_services_is_refused(portfolio_store: Path, tmp_path: Path) -> None:
    ran = npl("--store", portfolio_store, "--data", tmp_path / "empty", "--out", tmp_path / "out")
    assert isinstance(ran.exception, StartError)
    assert "no service has kept its identifier.key" in str(ran.exception)
    assert not (tmp_path / "empty").exists()
