"""What came of a package: its loans in four formats, its summary, its page and its pictures."""

import codecs
import json
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import polars as pl
import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from features.replacing import replacing_file
from features.spreadsheet_text import harmless
from models.bundle import Bundle
from models.package import value_package
from models.package_report.workbook import workbook_refusal, write_workbook
from service import queue
from service.blocks import blocks_of
from service.conversion import loan_documents
from service.errors import ConflictError, GoneError, NotFoundError, UnavailableError
from service.keys import ApiKey
from service.openapi import SAFE_PAGE, XLSX, content, problems
from service.package_folder import PAGE, SCORES, SUMMARY, TAPE, PackageFolder
from service.routes.packages import found
from service.security import Reader
from service.state import Service

router = APIRouter(tags=["packages"])
_BLOCK: Final = 2_000
_MAKING: Final = threading.Lock()
_MAKING_SECONDS: Final = 20.0
_PARQUET: Final = "application/vnd.apache.parquet"
_WAITS: Final = problems(404, 409, 410, 422)
Format = Literal["json", "csv", "xlsx", "parquet"]


@router.get(
    "/v1/packages/{package_id}/summary",
    summary="Totals, curve, range, segments, contributions, data quality, stability",
    responses={200: content("application/json", "The valuation.", {"type": "object"}), **_WAITS},
)
def get_summary(request: Request, package_id: str, key: Reader) -> Response:
    """Tell what a package is worth and why."""
    folder, row = _result(request, package_id, key)
    told = {"package_id": row.id, "valuation_id": row.valuation_id} | _summary(folder)
    return Response(msgspec.json.encode(told), media_type="application/json")


@router.get(
    "/v1/packages/{package_id}/result",
    summary="The scored loans",
    response_class=Response,
    responses={
        200: {
            "description": "One row a loan, in the order they came.",
            "content": {
                kind: {"schema": {}} for kind in ("application/json", "text/csv", XLSX, _PARQUET)
            },
        },
        **_WAITS,
    },
)
def get_result(
    request: Request,
    package_id: str,
    key: Reader,
    format: Annotated[Format, Query(description="How.")] = "json",
) -> Response:
    """Give the loans; as XLSX a workbook to send on: summary, loans, curve, reasons, checks."""
    folder, row = _result(request, package_id, key)
    service: Service = request.app.state.service
    if format == "parquet":
        return _file(folder / SCORES, _PARQUET, f"{row.id}.parquet")
    if format == "csv":
        return _file(_csv(folder), "text/csv; charset=utf-8", f"{row.id}.csv")
    bundle = _bundle(service, folder)
    if format == "xlsx":
        return _file(_workbook(folder, row, bundle), XLSX, f"{row.id}.xlsx")
    return StreamingResponse(_json(folder, row, bundle), media_type="application/json")


@router.get(
    "/v1/packages/{package_id}/page",
    summary="The valuation as a page",
    response_class=Response,
    responses={200: content("text/html", "One page without scripts."), **_WAITS},
)
def get_page(request: Request, package_id: str, key: Reader) -> Response:
    """Give the page a valuer would send on."""
    folder, _ = _result(request, package_id, key)
    return FileResponse(folder / PAGE, media_type="text/html", headers=SAFE_PAGE)


@router.get(
    "/v1/packages/{package_id}/pictures/{name}.svg",
    summary="One picture of the page",
    response_class=Response,
    responses={200: content("image/svg+xml", "A picture."), **_WAITS},
)
def get_picture(
    request: Request,
    package_id: str,
    name: Literal["cash", "waterfall", "distribution"],
    key: Reader,
) -> Response:
    """Give a picture."""
    folder, _ = _result(request, package_id, key)
    path = folder / f"{name}.svg"
    if not path.is_file():
        raise NotFoundError(f"this package has no picture {name}: see left_out in its summary")
    return FileResponse(path, media_type="image/svg+xml", headers=SAFE_PAGE)


def _result(request: Request, package_id: str, key: ApiKey) -> tuple[Path, sa.Row[Any]]:
    """Folder and row of a package that has a result."""
    service: Service = request.app.state.service
    row = found(service, package_id, key)
    if row.state != queue.DONE:
        problem = f": {row.problem['detail']}" if row.problem else ""
        raise ConflictError(f"the package is {row.state}, it has no result{problem}")
    folder = PackageFolder(service.settings.data_folder, row.id).result(row.attempt)
    if not folder.is_dir():
        raise GoneError("the result was deleted when its time was over; send the package again")
    return folder, row


def _bundle(service: Service, folder: Path) -> Bundle:
    return service.model.archived(_summary(folder)["model_version"])


def _summary(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return document


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """A file of the result, made when it is first asked for; one at a time, for it takes memory."""
    if not path.is_file():
        if not _MAKING.acquire(timeout=_MAKING_SECONDS):
            raise UnavailableError("another result is being written out; ask again later")
        try:
            if not path.is_file():
                make(path)
        finally:
            _MAKING.release()
    return path


def _csv(folder: Path) -> Path:
    def make(path: Path) -> None:
        with replacing_file(path) as aside, aside.open("wb") as file:
            # With its mark, Excel reads the file as UTF-8.
            file.write(codecs.BOM_UTF8)
            for place, block in enumerate(blocks_of(folder / SCORES)):
                # What a spreadsheet would run as a formula is made plain text.
                plain = block.with_columns(harmless(pl.col(pl.String)).name.keep())
                plain.write_csv(file, include_header=not place)

    return _made(folder / "scores.csv", make)


def _workbook(folder: Path, row: sa.Row[Any], bundle: Bundle) -> Path:
    def make(path: Path) -> None:
        scores, tape = pl.scan_parquet(folder / SCORES), pl.scan_parquet(folder / TAPE)
        refusal = workbook_refusal(scores)
        if refusal:
            raise ConflictError(
                f"the package has {refusal}: ask for format=parquet or format=csv, or send it"
                " again with reasons=false"
            )
        day = row.parameters["cut_off_date"]
        cut_off = None if day is None else date.fromisoformat(day)
        valuation = value_package(scores, tape, bundle.model, bundle.portfolio, cut_off)
        write_workbook(path, valuation, scores, bundle)

    return _made(folder / "package.xlsx", make)


def _json(folder: Path, row: sa.Row[Any], bundle: Bundle) -> Iterator[bytes]:
    head = msgspec.json.encode(
        {
            "package_id": row.id,
            "valuation_id": row.valuation_id,
            "model_version": bundle.version,
            "correction": _summary(folder)["correction"],
            "currency": bundle.portfolio.currency,
            "recovery_basis": bundle.portfolio.recovery_basis,
            "notes": bundle.notes,
        }
    )
    yield head[:-1] + b',"loans":['
    first = True
    for block in blocks_of(folder / SCORES):
        for part in block.iter_slices(_BLOCK):
            documents = msgspec.json.encode(loan_documents(part, bundle))[1:-1]
            yield documents if first else b"," + documents
            first = False
    yield b"]}"


def _file(path: Path, media_type: str, name: str) -> Response:
    return FileResponse(path, media_type=media_type, filename=name)
