"""Packages from upload to result, in every format, to the bits of the command line."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from openpyxl import load_workbook

from features.portfolio import Portfolio
from features.sources.result import no_ledger
from models import scoring
from models.bundle import Bundle
from models.package import value_package
from models.package_report import workbook
from models.scoring import score_loans
from models.tape_file import checked_input
from service import blocks, queue
from service.audit import Record
from service.errors import ConflictError
from service.keys import create_key
from service.package_folder import PackageFolder
from service.queue import LeaseLostError
from service.routes.packages import link_ledger
from service.worker import Worker
from tests.service.conftest import ARROW, CSV, PARQUET, XLSX, MakeService, wait_for

URL = "/v1/packages"
ENDINGS = {PARQUET: ".parquet", CSV: ".csv", XLSX: ".xlsx", ARROW: ".arrow"}


def written(tape: pl.DataFrame, kind: str) -> bytes:
    into = io.BytesIO()
    texts = tape.with_columns(pl.col(pl.Enum).cast(pl.String))
    if kind == PARQUET:
        tape.write_parquet(into)
    elif kind == ARROW:
        texts.write_ipc(into)
    elif kind == CSV:
        texts.write_csv(into)
    else:
        texts.with_columns(pl.col(pl.Boolean).cast(pl.String)).write_excel(into)
    return into.getvalue()


def sent(client: httpx.Client, content: bytes, kind: str = PARQUET, **headers: str) -> Any:
    return client.post(URL, content=content, headers={"content-type": kind} | headers)


@pytest.fixture(scope="module")
def done(client: httpx.Client, tape: pl.DataFrame) -> dict[str, Any]:
    """A package of forty loans, one of them bad, that has ended well."""
    bad = tape.with_columns(
        principal_outstanding=pl.when(pl.int_range(pl.len()) == 3)
        .then(-1.0)
        .otherwise("principal_outstanding")
    )
    answer = sent(client, written(bad, PARQUET))
    assert answer.status_code == 202, answer.text
    return wait_for(client, answer.json()["package_id"])


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_upload_gives_the_command_lines_numbers_to_the_last_bit(
    client: httpx.Client, bundle: Bundle, tape: pl.DataFrame, kind: str, tmp_path: Path
) -> None:
    content = written(tape, kind)
    path = tmp_path / f"tape{ENDINGS[kind]}"
    path.write_bytes(content)
    checked = checked_input(path, bundle)
    expected = checked.complete(
        score_loans(bundle.model, checked.tape, checked.ledger, explain=True)
    )
    status = wait_for(client, sent(client, content, kind).json()["package_id"])
    assert status["state"] == "done", status
    result = client.get(f"{URL}/{status['package_id']}/result?format=parquet")
    assert pl.read_parquet(result.content).equals(expected)
    assert expected["recovery_rate"].null_count() == 0


def test_blocks_change_no_bit(
    client: httpx.Client,
    bundle: Bundle,
    tape: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bad = tape.with_columns(
        principal_outstanding=pl.when(pl.int_range(pl.len()).is_in([3, 25]))
        .then(-1.0)
        .otherwise("principal_outstanding")
    )
    path = tmp_path / "tape.parquet"
    path.write_bytes(written(bad, PARQUET))
    checked = checked_input(path, bundle)
    expected = checked.complete(
        score_loans(bundle.model, checked.tape, checked.ledger, explain=True)
    )
    monkeypatch.setattr(scoring, "BLOCK_LOANS", 7)
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 11)
    status = wait_for(client, sent(client, path.read_bytes()).json()["package_id"])
    result = client.get(f"{URL}/{status['package_id']}/result?format=parquet")
    assert pl.read_parquet(result.content).equals(expected)
    again = client.post(f"/v1/valuations/{status['valuation_id']}/replay")
    assert again.status_code == 200, again.text


def test_a_failed_row_never_sinks_the_rest(client: httpx.Client, done: dict[str, Any]) -> None:
    assert done["state"] == "done"
    loans = client.get(f"{URL}/{done['package_id']}/result").json()["loans"]
    assert [place for place, loan in enumerate(loans) if loan["recovery_rate"] is None] == [3]
    assert "principal_outstanding" in loans[3]["reason_not_scored"]


def test_the_summary_adds_up(
    client: httpx.Client, done: dict[str, Any], bundle: Bundle, tape: pl.DataFrame
) -> None:
    summary = client.get(f"{URL}/{done['package_id']}/summary").json()
    assert (summary["loans"], summary["scored_loans"], summary["unscored_loans"]) == (40, 39, 1)
    loans = client.get(f"{URL}/{done['package_id']}/result").json()["loans"]
    expected = sum(loan["expected_recovery_amount"] or 0 for loan in loans)
    assert summary["expected_recovery_amount"] == pytest.approx(expected, abs=0.005)
    moved = sum(row["amount"] for row in summary["contributions_by_feature"])
    assert summary["base_amount"] + moved == pytest.approx(expected, abs=0.005)
    assert [basis["name"] for basis in summary["totals"]] == [
        "ead", "principal", "principal_and_interest",
    ]  # fmt: skip
    assert summary["data_quality"]["rows_set_aside"] == 1
    assert {row["light"] for row in summary["stability"]} <= {"green", "amber", "red"}
    good = tape.filter(pl.int_range(pl.len()) != 3)
    own = value_package(
        score_loans(bundle.model, good.lazy(), pl.LazyFrame(schema=no_cash())),
        good, bundle.model, bundle.portfolio,
    )  # fmt: skip
    assert summary["expected_recovery_amount"] == own.expected_recovery_amount


def no_cash() -> dict[str, Any]:
    return dict(no_ledger().schema)


def test_the_workbook_comes_back(client: httpx.Client, done: dict[str, Any]) -> None:
    answer = client.get(f"{URL}/{done['package_id']}/result?format=xlsx")
    assert answer.headers["content-type"] == XLSX
    book = load_workbook(io.BytesIO(answer.content), read_only=True)
    assert book.sheetnames == [
        "Summary",
        "Loans",
        "Cash curve",
        "Factor groups",
        "Factors",
        "Segments",
        "Checks",
    ]


def test_a_workbook_beyond_a_sheet_says_what_to_ask_for(
    client: httpx.Client, tape: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = wait_for(client, sent(client, written(tape, PARQUET)).json()["package_id"])
    for limit, bound, told in (
        ("SHEET_BYTES", 50_000, "40 loans in "),
        ("EXCEL_ROWS", 39, "40 loans, an Excel sheet holds 39"),
    ):
        monkeypatch.setattr(workbook, limit, bound)
        answer = client.get(f"{URL}/{status['package_id']}/result?format=xlsx")
        assert answer.status_code == 409
        assert told in answer.json()["detail"]
        assert "ask for format=parquet" in answer.json()["detail"]


def test_page_and_pictures(client: httpx.Client, done: dict[str, Any]) -> None:
    page = client.get(f"{URL}/{done['package_id']}/page")
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for name in ("cash", "waterfall", "distribution"):
        picture = client.get(f"{URL}/{done['package_id']}/pictures/{name}.svg")
        assert picture.headers["content-type"] == "image/svg+xml"
        assert picture.text.startswith("<svg xmlns=")
    assert client.get(f"{URL}/{done['package_id']}/pictures/secret.svg").status_code == 422


def test_csv_holds_no_formula(client: httpx.Client, tape: pl.DataFrame) -> None:
    poisoned = tape[:2].with_columns(loan_id=pl.Series(["=HYPERLINK(1)", "@SUM(1)"]))
    status = wait_for(client, sent(client, written(poisoned, PARQUET)).json()["package_id"])
    text = client.get(f"{URL}/{status['package_id']}/result?format=csv").text
    assert "\n'=HYPERLINK(1)," in text
    assert "\n'@SUM(1)," in text
    book = client.get(f"{URL}/{status['package_id']}/result?format=xlsx").content
    sheet = load_workbook(io.BytesIO(book))["Loans"]
    assert [sheet.cell(row, 1).data_type for row in (2, 3)] == ["s", "s"]


def test_the_same_upload_under_one_key_is_one_package(
    client: httpx.Client, tape: pl.DataFrame
) -> None:
    content, key = written(tape, PARQUET), {"idempotency-key": "one"}
    first, again = sent(client, content, **key), sent(client, content, **key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["package_id"] == again.json()["package_id"]
    assert sent(client, written(tape[:5], PARQUET), **key).status_code == 409
    ids = set()

    def send() -> None:
        ids.add(sent(client, content, **{"idempotency-key": "two"}).json()["package_id"])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 1


def test_a_ledger_follows_the_tape(
    client: httpx.Client, bundle: Bundle, simulated: Portfolio, tape: pl.DataFrame
) -> None:
    ids = tape["loan_id"].implode()
    ledger = simulated.ledger.filter(pl.col("loan_id").is_in(ids)).collect()
    answer = client.post(
        URL, params={"ledger": True, "reasons": False}, content=written(tape, PARQUET),
        headers={"content-type": PARQUET},
    )  # fmt: skip
    package = answer.json()["package_id"]
    assert answer.json()["state"] == "uploading"
    put = client.put(
        f"{URL}/{package}/ledger",
        content=written(ledger, PARQUET),
        headers={"content-type": PARQUET},
    )
    assert put.status_code == 202, put.text
    late = client.put(
        f"{URL}/{package}/ledger",
        content=written(ledger.head(1), PARQUET),
        headers={"content-type": PARQUET},
    )
    assert late.status_code == 409
    assert wait_for(client, package)["state"] == "done"
    expected = score_loans(bundle.model, tape.lazy(), ledger.lazy())
    result = client.get(f"{URL}/{package}/result?format=parquet").content
    assert pl.read_parquet(result).equals(expected)
    valuation = client.get(f"{URL}/{package}").json()["valuation_id"]
    assert client.post(f"/v1/valuations/{valuation}/replay").json()["same"] is True


def test_a_ledger_takes_its_place_once(tmp_path: Path) -> None:
    folder = PackageFolder(tmp_path, "p")
    folder.path.mkdir(parents=True)
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for path, content in ((first, b"a"), (again, b"a"), (other, b"b")):
        path.write_bytes(content)
    link_ledger(first, folder)
    # The answer was lost, and the client sends again; another ledger would change what is read.
    link_ledger(again, folder)
    with pytest.raises(ConflictError):
        link_ledger(other, folder)
    assert folder.ledger.read_bytes() == b"a"


def test_a_package_is_replayed_from_keyed_hashes(
    client: httpx.Client, done: dict[str, Any], tape: pl.DataFrame, service: Any
) -> None:
    answer = client.post(f"/v1/valuations/{done['valuation_id']}/replay")
    assert answer.json()["same"] is True
    (kept,) = (service.settings.data_folder / "kept" / done["package_id"]).glob("*/tape.parquet")
    assert not set(pl.read_parquet(kept)["loan_id"]) & set(tape["loan_id"])
    altered = pl.read_parquet(kept).with_columns(pl.col("original_amount") * 2)
    altered.write_parquet(kept)
    assert client.post(f"/v1/valuations/{done['valuation_id']}/replay").status_code == 409


def test_a_package_without_a_good_row_fails_and_says_why(
    client: httpx.Client, tape: pl.DataFrame
) -> None:
    bad = tape.with_columns(principal_outstanding=pl.lit(-1.0))
    status = wait_for(client, sent(client, written(bad, PARQUET)).json()["package_id"])
    assert status["state"] == "failed"
    assert "nothing to value" in status["problem"]["detail"]
    assert client.get(f"{URL}/{status['package_id']}/result").status_code == 409


def test_a_valuer_sees_its_own_packages_only(
    client: httpx.Client, service: Any, done: dict[str, Any]
) -> None:
    other = {"Authorization": f"Bearer {create_key(service.engine, 'b', 'valuer')[1]}"}
    reviewer = {"Authorization": f"Bearer {create_key(service.engine, 'c', 'reviewer')[1]}"}
    for path in ("", "/result", "/summary", "/events"):
        url = f"{URL}/{done['package_id']}{path}"
        assert client.get(url, headers=other).status_code == 404
        assert client.get(url, headers=reviewer).status_code == 200
    assert client.delete(f"{URL}/{done['package_id']}", headers=reviewer).status_code == 403


@pytest.fixture
def idle(make_service: MakeService) -> Any:
    """A service whose packages wait: no worker runs but those a test makes."""
    return make_service(workers_in_process=0, lease_seconds=0.3)


def _waiting(service: Any, name: str) -> str:
    values = {
        "id": name, "key_id": "k", "idempotency_key": None, "input_hash": "0",
        "input_format": ".parquet", "parameters": {"reasons": False, "cut_off_date": None},
        "state": queue.QUEUED,
    }  # fmt: skip
    queue.add(service.engine, values)
    return name


def test_a_package_is_taken_once(idle: Any) -> None:
    _waiting(idle, "a")
    first = queue.take(idle.engine, "one", 60)
    assert first is not None
    assert queue.take(idle.engine, "two", 60) is None


def test_a_package_left_by_its_worker_is_finished_once(idle: Any) -> None:
    _waiting(idle, "a")
    dead = queue.take(idle.engine, "dead", -1)
    heir = queue.take(idle.engine, "heir", 60)
    assert dead is not None
    assert heir is not None
    assert (dead.attempt, heir.attempt) == (1, 2)
    with pytest.raises(LeaseLostError):
        queue.renew(idle.engine, dead, 60)
    with pytest.raises(LeaseLostError):
        queue.finish(idle.engine, dead, Record("v-dead", {}, None), 1)
    queue.finish(idle.engine, heir, Record("v-heir", {}, None), 1)
    with pytest.raises(LeaseLostError):
        queue.finish(idle.engine, heir, Record("v-twice", {}, None), 1)
    row = queue.find(idle.engine, "a")
    assert row is not None
    assert (row.state, row.valuation_id) == ("done", "v-heir")


def test_a_package_that_ends_its_workers_is_failed(idle: Any) -> None:
    _waiting(idle, "a")
    for _ in range(10):
        assert queue.take(idle.engine, "dies", -1) is not None
    assert queue.take(idle.engine, "lives", 60) is None
    row = queue.find(idle.engine, "a")
    assert row is not None
    assert row.state == "failed"


def test_a_cancelled_package_is_not_worked_on(idle: Any) -> None:
    _waiting(idle, "a")
    lease = queue.take(idle.engine, "one", 60)
    assert lease is not None
    assert queue.cancel(idle.engine, "a")
    assert not queue.cancel(idle.engine, "a")
    with pytest.raises(LeaseLostError):
        queue.renew(idle.engine, lease, 60)
    assert queue.take(idle.engine, "two", 60) is None


def test_results_are_deleted_when_their_time_is_over_and_the_record_stays(
    make_service: MakeService, tape: pl.DataFrame, tmp_path: Path
) -> None:
    service = make_service(workers_in_process=0)
    folder = service.settings.data_folder / "packages" / "a"
    folder.mkdir(parents=True)
    tape.write_parquet(folder / "tape.parquet")
    _waiting(service, "a")
    worker = Worker(
        service.settings, service.engine, service.model, service.corrections, threading.Event()
    )
    assert worker.work_once()
    row = queue.find(service.engine, "a")
    assert row is not None
    assert row.state == "done", row
    worker._sweep()
    assert folder.is_dir()
    with service.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE packages SET finished_at = '2020-01-01'")
    worker._sweep()
    assert not folder.exists()
    assert json.loads(_entry(service))["package_id"] == "a"


def _entry(service: Any) -> str:
    with service.engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT entry FROM valuations").scalar_one())
