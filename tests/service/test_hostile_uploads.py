"""Uploads that mean harm or were never tables: each a clear 4xx, and the process alive."""

import io
import json
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.keys import create_key
from service.patience import PunctualProtocol
from service.settings import Settings
from tests.service.conftest import ARROW, CSV, PARQUET, XLSX, MakeService, running, wait_for

Made = tuple[bytes, str]
HOSTILE: dict[str, Callable[[], Made]] = {}


def hostile(function: Callable[[], Made]) -> Callable[[], Made]:
    HOSTILE[function.__name__] = function
    return function


def workbook(sheet: bytes, **parts: bytes) -> bytes:
    """A workbook of one sheet, by hand; `parts` replaces or adds."""
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    members = {
        "[Content_Types].xml": (
            f'<Types xmlns="{package}/content-types"><Default Extension="xml"'
            ' ContentType="application/xml"/></Types>'
        ).encode(),
        "_rels/.rels": (
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1"'
            f' Type="{kinds}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ).encode(),
        "xl/workbook.xml": (
            f'<workbook xmlns="{main}" xmlns:r="{kinds}"><sheets><sheet name="a" sheetId="1"'
            ' r:id="r1"/></sheets></workbook>'
        ).encode(),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1"'
            f' Type="{kinds}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
        ).encode(),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>'.encode()
        + sheet
        + b"</sheetData></worksheet>",
    } | parts
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return into.getvalue()


def parquet(**columns: Any) -> bytes:
    into = io.BytesIO()
    pl.DataFrame(columns).write_parquet(into)
    return into.getvalue()


# What a package never is, under every media type.
for kind, name in ((CSV, "csv"), (XLSX, "xlsx"), (PARQUET, "parquet"), (ARROW, "arrow")):
    HOSTILE[f"empty_{name}"] = lambda kind=kind: (b"", kind)  # type: ignore[misc]
    HOSTILE[f"program_as_{name}"] = lambda kind=kind: (b"\x7fELF\x02\x01\x01\x00" * 99, kind)  # type: ignore[misc]
    HOSTILE[f"picture_as_{name}"] = lambda kind=kind: (b"\x89PNG\r\n\x1a\n\x00\x00" * 99, kind)  # type: ignore[misc]
    HOSTILE[f"zeros_as_{name}"] = lambda kind=kind: (bytes(4096), kind)  # type: ignore[misc]
    HOSTILE[f"pickle_as_{name}"] = lambda kind=kind: (  # type: ignore[misc]
        b"\x80\x04\x95\x1d\x00\x00\x00cos\nsystem\n(S'true'\ntR.",
        kind,
    )
for kind in ("", "text/html", "application/json", "application/zip", "multipart/form-data",
             "application/x-python-pickle", "image/svg+xml", "text/csv/../x"):  # fmt: skip
    HOSTILE[f"media_type_{kind or 'none'}"] = lambda kind=kind: (b"loan_id\nA\n", kind)  # type: ignore[misc]


@hostile
def parquet_cut_short() -> Made:
    return parquet(loan_id=["A"] * 100)[:-20], PARQUET


@hostile
def parquet_without_its_middle() -> Made:
    whole = parquet(loan_id=[f"L{n}" for n in range(1000)])
    return whole[:4] + whole[-300:], PARQUET


@hostile
def parquet_of_magic_alone() -> Made:
    return b"PAR1PAR1", PARQUET


@hostile
def parquet_footer_of_four_gigabytes() -> Made:
    return b"PAR1" + b"\x00" * 64 + struct.pack("<I", 0xFFFFFFF0) + b"PAR1", PARQUET


@hostile
def parquet_footer_of_noise() -> Made:
    return b"PAR1" + bytes(range(256)) * 4 + struct.pack("<I", 512) + b"PAR1", PARQUET


@hostile
def parquet_bomb() -> Made:
    into = io.BytesIO()
    table = pa.table({"loan_id": pa.array(["x" * 500_000] * 140)})
    pq.write_table(table, into, compression="zstd", use_dictionary=False)
    assert len(into.getvalue()) < 1 << 20
    return into.getvalue(), PARQUET


@hostile
def parquet_of_too_many_rows() -> Made:
    return parquet(loan_id=[None] * 6_000), PARQUET


@hostile
def parquet_of_too_many_columns() -> Made:
    return parquet(**{f"c{n}": [1] for n in range(200)}), PARQUET


@hostile
def arrow_cut_short() -> Made:
    into = io.BytesIO()
    pl.DataFrame({"loan_id": ["A"] * 100}).write_ipc(into)
    return into.getvalue()[:200], ARROW


@hostile
def arrow_of_magic_alone() -> Made:
    return b"ARROW1\x00\x00ARROW1", ARROW


@hostile
def arrow_stream_for_a_file() -> Made:
    into = io.BytesIO()
    pl.DataFrame({"loan_id": ["A"]}).write_ipc_stream(into)
    return into.getvalue(), ARROW


@hostile
def arrow_bomb() -> Made:
    into = io.BytesIO()
    table = pa.table({"loan_id": pa.array(["x" * 500_000] * 140)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(into, table.schema, options=options) as writer:
        writer.write_table(table)
    assert len(into.getvalue()) < 1 << 20
    return into.getvalue(), ARROW


@hostile
def arrow_of_too_many_rows() -> Made:
    into = io.BytesIO()
    pl.DataFrame({"loan_id": ["A"] * 6_000}).write_ipc(into)
    return into.getvalue(), ARROW


@hostile
def arrow_of_too_many_columns() -> Made:
    into = io.BytesIO()
    pl.DataFrame({f"c{n}": [1] for n in range(200)}).write_ipc(into)
    return into.getvalue(), ARROW


@hostile
def workbook_bomb() -> Made:
    return workbook(b"<row r='1'>" + b" " * 70_000_000 + b"</row>"), XLSX


@hostile
def workbook_bomb_beside_the_sheet() -> Made:
    return workbook(b"", **{"xl/sharedStrings.xml": b"<a/>" * 17_000_000}), XLSX


@hostile
def workbook_that_lies_about_its_size() -> Made:
    whole = bytearray(workbook(b" " * 70_000_000))
    place = 0
    while (place := whole.find(b"PK\x01\x02", place)) >= 0:
        whole[place + 24 : place + 28] = struct.pack("<I", 100)
        place += 4
    return bytes(whole), XLSX


@hostile
def workbook_with_a_cell_at_its_far_corner() -> Made:
    return workbook(b'<row r="1"><c r="A1"/></row><row r="1"><c r="XFD1048576"/></row>'), XLSX


@hostile
def workbook_with_a_far_row() -> Made:
    return workbook(b'<row r="1"><c r="A1"/></row><row r="9"><c r="A1048576"/></row>'), XLSX


@hostile
def workbook_of_one_part() -> Made:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return into.getvalue(), XLSX


@hostile
def workbook_with_paths_outside() -> Made:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("../../../../etc/cron.d/x", "* * * * * root true")
    return into.getvalue(), XLSX


@hostile
def workbook_cut_short() -> Made:
    return workbook(b"<row/>")[:-30], XLSX


@hostile
def workbook_with_a_damaged_part() -> Made:
    whole = bytearray(workbook(b"".join(b'<row r="%d"/>' % n for n in range(1, 500))))
    place = whole.rfind(b"sheet1.xml", 0, whole.find(b"PK\x01\x02")) + 10
    whole[place : place + 30] = b"\xff" * 30
    return bytes(whole), XLSX


@hostile
def workbook_under_a_password() -> Made:
    whole = bytearray(workbook(b"<row/>"))
    place = 0
    while (place := whole.find(b"PK\x01\x02", place)) >= 0:
        whole[place + 8] |= 1
        place += 4
    return bytes(whole), XLSX


@hostile
def workbook_with_two_parts_of_one_name() -> Made:
    into = io.BytesIO(workbook(b"<row/>"))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(into, "a") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return into.getvalue(), XLSX


@hostile
def csv_of_one_endless_line() -> Made:
    return b"loan_id," + b"x" * 3_000_000, CSV


@hostile
def csv_of_too_many_rows() -> Made:
    return b"loan_id\n" + b"A\n" * 6_000, CSV


@hostile
def csv_of_too_many_columns() -> Made:
    return b",".join(b"c%d" % n for n in range(200)) + b"\n", CSV


@hostile
def csv_of_many_cells() -> Made:
    return b",".join([b"c"] * 118) + b"\n" + b"," * 60 + b"\n" * 5_500, CSV


@hostile
def gzip_as_csv() -> Made:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(b"loan_id\n" * 9_000) + packer.flush() + bytes(64), CSV


@hostile
def workbook_behind_a_line_of_csv() -> Made:
    return b"loan_id,snapshot_date\n" + workbook(b"<row/>"), CSV


@hostile
def workbook_behind_a_mark_of_wide_text() -> Made:
    return b"\xff\xfe" + "loan_id\n".encode("utf-16-le") + workbook(b"<row/>"), CSV


@hostile
def noise_as_csv() -> Made:
    return b"loan_id,snapshot_date\n" + bytes(range(256)) * 40, CSV


@hostile
def wide_text_as_csv() -> Made:
    return ("loan_id\nA\n" * 5).encode("utf-32-le"), CSV


# Uploads that look like tables, and are found out when they are read: the package says so.
READ_AND_REFUSED: dict[str, Made] = {
    "csv_without_a_known_header": (b"a,b\n1,2\n", CSV),
    "csv_of_a_header_alone": (b"loan_id,snapshot_date\n", CSV),
    "csv_without_currency": (b"loan_id,snapshot_date\nA,2024-01-01\n", CSV),
    "parquet_of_other_columns": (parquet(x=[1, 2]), PARQUET),
    "parquet_without_rows": (parquet(loan_id=[]), PARQUET),
    "parquet_of_nested_columns": (parquet(loan_id=[[1]], borrower_id=[{"a": 1}]), PARQUET),
    "parquet_of_long_texts": (parquet(loan_id=["x" * 2_000_000]), PARQUET),
    "workbook_without_cells": (workbook(b""), XLSX),
    "workbook_of_entities": (
        workbook(
            b'<row r="1"><c r="A1" t="inlineStr"><is><t>&lol;</t></is></c></row>',
            **{"xl/styles.xml": b'<!DOCTYPE z [<!ENTITY lol "lol">]><styleSheet/>'},
        ),
        XLSX,
    ),
    "workbook_that_reaches_out": (
        workbook(
            b'<row r="1"><c r="A1"><f>WEBSERVICE("http://localhost")</f></c></row>',
            **{"xl/externalLinks/externalLink1.xml": b"<externalLink/>"},
        ),
        XLSX,
    ),
}


def test_the_corpus_holds_sixty() -> None:
    assert len(HOSTILE) + len(READ_AND_REFUSED) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_a_clear_4xx(client: httpx.Client, name: str) -> None:
    content, kind = HOSTILE[name]()
    answer = client.post("/v1/packages", content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 10
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("name", READ_AND_REFUSED)
def test_what_is_no_tape_fails_with_its_mend(client: httpx.Client, name: str) -> None:
    content, kind = READ_AND_REFUSED[name]
    answer = client.post("/v1/packages", content=content, headers={"content-type": kind})
    assert answer.status_code in (202, 400, 413, 422)
    if answer.status_code == 202:
        status = wait_for(client, answer.json()["package_id"])
        assert (status["state"], status["problem"]["title"]) == ("failed", "Data cannot be used")
        assert "/" not in status["problem"]["detail"].split(":")[0]
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/packages/../../etc/passwd",
        "/v1/packages/..%2f..%2fetc%2fpasswd",
        "/v1/packages/%2e%2e/result",
        "/v1/packages/a%00b",
        "/v1/packages/" + "a" * 5_000,
        "/v1/models/..%2f..%2fservice/card",
        "/v1/models/%2e%2e%2f%2e%2e%2f%2e%2e%2f/card",
        "/v1/valuations/' OR 1=1 --",
    ],
)
def test_path_tricks_find_nothing(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code in (404, 405, 422)


def test_large_bodies_are_refused_before_and_while_they_arrive(make_service: MakeService) -> None:
    small = make_service(max_body_bytes=1_000, max_upload_bytes=1_000, workers_in_process=0)
    secret = create_key(small.engine, "a", "valuer")[1]
    headers = {"Authorization": f"Bearer {secret}", "content-type": CSV}
    with running(small) as address:
        for path in ("/v1/recoveries", "/v1/packages"):
            announced = httpx.post(address + path, content=b"x" * 2_000, headers=headers)
            streamed = httpx.post(address + path, content=iter([b"x" * 600] * 5), headers=headers)
            assert (announced.status_code, streamed.status_code) == (413, 413)
    left = list((small.settings.data_folder / "incoming").glob("*/*"))
    assert left == []


def test_a_slow_client_is_told_so(make_service: MakeService) -> None:
    hasty = make_service(request_seconds=0.3, workers_in_process=0)
    secret = create_key(hasty.engine, "a", "valuer")[1]
    with running(hasty) as address:
        host, port = address.removeprefix("http://").split(":")
        for path in ("/v1/recoveries", "/v1/packages"):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {secret}\r\n"
                    f"Content-Type: {CSV}\r\nContent-Length: 99\r\n\r\nloan".encode()
                )
                started = time.monotonic()
                assert b" 408 " in connection.recv(4096).split(b"\r\n")[0]
                assert time.monotonic() - started < 5


def test_a_client_that_trickles_is_told_so(make_service: MakeService) -> None:
    hasty = make_service(request_seconds=0.5, workers_in_process=0)
    secret = create_key(hasty.engine, "a", "valuer")[1]
    headers = {"Authorization": f"Bearer {secret}", "content-type": CSV}

    def drops() -> Iterator[bytes]:
        for _ in range(30):
            yield b"loan_id\n"
            time.sleep(0.1)

    with running(hasty) as address:
        answer = httpx.post(f"{address}/v1/packages", content=drops(), headers=headers)
    assert answer.status_code == 408
    assert "bytes a second" in answer.json()["detail"]


def test_headers_that_never_end_are_answered(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PunctualProtocol, "header_seconds", 0.3)
    service = make_service(workers_in_process=0)
    with running(service) as address:
        host, port = address.removeprefix("http://").split(":")
        for beginning in (b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(beginning)
                started = time.monotonic()
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
                assert time.monotonic() - started < 5
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ")
            assert json.loads(body)["detail"] == "the headers did not arrive within 0.3 seconds"
        # Whoever asks in time may take all the time over the next request.
        with httpx.Client(base_url=address) as client:
            for _ in range(2):
                assert client.get("/healthz").status_code == 200
                time.sleep(0.5)


def test_formulas_and_names_are_nowhere_in_the_answer_to_a_bad_row(client: httpx.Client) -> None:
    loans = json.dumps({"loans": [{"loan_id": "13812345678", "asset_class": "=1+1"}]})
    assert "13812345678" not in client.post("/v1/recoveries", content=loans).text


def test_settings_have_bounds() -> None:
    assert Settings().max_upload_bytes <= 1 << 30
    assert Settings().request_seconds <= 60
