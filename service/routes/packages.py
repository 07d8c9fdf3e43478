"""`/v1/packages`: a package sent as a file, scored in the background."""

import asyncio
import os
import uuid
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from service import queue
from service.blocks import file_hash
from service.bodies import save_body
from service.errors import ConflictError, NotFoundError, UnsupportedError
from service.keys import ApiKey
from service.openapi import PACKAGE_BODY, PACKAGE_SCHEMA, PARQUET_BODY, content, problems
from service.package_folder import FORMATS, PackageFolder
from service.progress import events_of
from service.security import Reader, Valuer
from service.state import Service
from service.uploads import look_at

router = APIRouter(tags=["packages"])
_STATUS: Final = content("application/json", "State and progress.", PACKAGE_SCHEMA)
PackageId = Annotated[str, "Id of a package."]


@router.post(
    "/v1/packages",
    status_code=202,
    summary="Send a package: CSV, XLSX, Parquet or Arrow as the raw body",
    openapi_extra={"requestBody": PACKAGE_BODY},
    responses={
        202: content("application/json", "Accepted, and scored soon.", PACKAGE_SCHEMA),
        200: content("application/json", "The package sent before.", PACKAGE_SCHEMA),
        **problems(400, 408, 409, 413, 415, 422),
    },
)
async def post_package(
    request: Request,
    response: Response,
    key: Valuer,
    reasons: Annotated[bool, Query(description="Say why, loan by loan.")] = True,
    cut_off_date: Annotated[date | None, Query(description="Value at this later day.")] = None,
    ledger: Annotated[bool, Query(description="A ledger follows: PUT it, then it starts.")] = False,
    idempotency_key: Annotated[
        str | None, Header(max_length=200, pattern=r"^[\x21-\x7e]+$")
    ] = None,
) -> dict[str, Any]:
    """Take a package in; the same body under the same `Idempotency-Key` is one package."""
    service: Service = request.app.state.service
    ending = _ending(request)
    parameters = {
        "reasons": reasons,
        "cut_off_date": None if cut_off_date is None else cut_off_date.isoformat(),
    }
    package_id = uuid.uuid4().hex
    with service.incoming.place(package_id) as place:
        upload = place / f"tape{ending}"
        input_hash = await save_body(
            request, upload, service.settings.max_upload_bytes, service.settings.request_seconds
        )
        values = {
            "id": package_id,
            "key_id": key.id,
            "idempotency_key": idempotency_key,
            "input_hash": input_hash,
            "input_format": ending,
            "parameters": parameters,
            "state": queue.UPLOADING if ledger else queue.QUEUED,
        }
        before = await asyncio.to_thread(_sent_before, service, values)
        if before is None:
            await asyncio.to_thread(look_at, upload, ending, service.settings)
            before = await asyncio.to_thread(_enter, service, upload, values)
    if before is not None:
        response.status_code = 200
        return status_of(before)
    response.headers["Location"] = f"/v1/packages/{package_id}"
    return status_of(await asyncio.to_thread(found, service, package_id, key))


def _ending(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMATS:
        raise UnsupportedError(
            f"send the file as the raw body, its content-type one of {', '.join(FORMATS)}"
        )
    return FORMATS[kind]


def _sent_before(service: Service, values: dict[str, Any]) -> sa.Row[Any] | None:
    if values["idempotency_key"] is None:
        return None
    row = queue.find_same(service.engine, values["key_id"], values["idempotency_key"])
    same = ("input_hash", "input_format", "parameters")
    if row is not None and any(getattr(row, name) != values[name] for name in same):
        raise ConflictError(
            "another package was sent under this Idempotency-Key: use a new one for a new package"
        )
    return row


def _enter(service: Service, upload: Path, values: dict[str, Any]) -> sa.Row[Any] | None:
    """Put the package in its place and in the queue; gives the one sent before, if there is one."""
    folder = PackageFolder(service.settings.data_folder, values["id"])
    folder.path.mkdir(parents=True)
    # What is accepted outlives a loss of power: first the file, then its name, then its entry.
    _to_disk(upload)
    upload.rename(folder.upload(values["input_format"]))
    _to_disk(folder.path)
    _to_disk(folder.path.parent)
    try:
        queue.add(service.engine, values)
    except sa.exc.IntegrityError:
        folder.remove()
        return _sent_before(service, values)
    except sa.exc.SQLAlchemyError:
        # On an `UnsettledError` the files stay until it is known what became of the package.
        folder.remove()
        raise
    return None


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@router.put(
    "/v1/packages/{package_id}/ledger",
    status_code=202,
    summary="Send the ledger of a package, as Parquet",
    openapi_extra={"requestBody": PARQUET_BODY},
    responses={202: _STATUS, **problems(400, 404, 408, 409, 413, 415, 422)},
)
async def put_ledger(request: Request, package_id: str, key: Valuer) -> dict[str, Any]:
    """Take the ledger in, and let the package start."""
    service: Service = request.app.state.service
    row = await asyncio.to_thread(found, service, package_id, key)
    if row.state != queue.UPLOADING:
        raise ConflictError("the package does not wait for a ledger: send it with ledger=true")
    if _ending(request) != ".parquet":
        raise UnsupportedError("a ledger is sent as Parquet")
    folder = PackageFolder(service.settings.data_folder, package_id)
    with service.incoming.place(uuid.uuid4().hex) as place:
        aside, settings = place / "ledger.parquet", service.settings
        await save_body(request, aside, settings.max_upload_bytes, settings.request_seconds)
        await asyncio.to_thread(look_at, aside, ".parquet", settings)
        await asyncio.to_thread(_to_disk, aside)
        await asyncio.to_thread(link_ledger, aside, folder)
    if not await asyncio.to_thread(queue.release, service.engine, package_id):
        raise ConflictError("the package no longer waits for a ledger")
    return status_of(await asyncio.to_thread(found, service, package_id, key))


def link_ledger(aside: Path, folder: PackageFolder) -> None:
    """Put a ledger in its place, once: a worker may be reading it already.

    Raises
    ------
    ConflictError
        When another one is there.
    """
    try:
        os.link(aside, folder.ledger)
    except FileExistsError:
        # Sent before, and the answer was lost.
        if file_hash(aside) != file_hash(folder.ledger):
            raise ConflictError("another ledger was sent for this package before") from None
    _to_disk(folder.path)


@router.get(
    "/v1/packages/{package_id}",
    summary="State and progress of a package",
    responses={200: _STATUS, **problems(404, 422)},
)
def get_package(request: Request, package_id: str, key: Reader) -> dict[str, Any]:
    """Tell how far a package is."""
    return status_of(found(request.app.state.service, package_id, key))


@router.get(
    "/v1/packages/{package_id}/events",
    summary="Progress of a package as server-sent events",
    response_class=StreamingResponse,
    responses={
        200: content("text/event-stream", "Events named `progress`, until it has ended."),
        **problems(404, 422),
    },
)
async def get_events(request: Request, package_id: str, key: Reader) -> StreamingResponse:
    """Tell progress as it happens."""
    service: Service = request.app.state.service
    await asyncio.to_thread(found, service, package_id, key)
    told = events_of(service, package_id, status_of)
    return StreamingResponse(told, media_type="text/event-stream")


@router.delete(
    "/v1/packages/{package_id}",
    summary="Cancel a package",
    responses={200: _STATUS, **problems(404, 409, 422)},
)
def cancel_package(request: Request, package_id: str, key: Valuer) -> dict[str, Any]:
    """Stop a package that has not ended."""
    service: Service = request.app.state.service
    row = found(service, package_id, key)
    if not queue.cancel(service.engine, package_id):
        raise ConflictError(f"the package is {row.state} already")
    return status_of(found(service, package_id, key))


def found(service: Service, package_id: str, key: ApiKey) -> sa.Row[Any]:
    """Row of a package that the key may see: a valuer sees its own."""
    row = queue.find(service.engine, package_id) if len(package_id) <= 32 else None
    if row is None or (key.role == "valuer" and row.key_id != key.id):
        raise NotFoundError("there is no such package")
    return row


def status_of(row: sa.Row[Any]) -> dict[str, Any]:
    """State and progress of a package as plain values."""
    return {
        "package_id": row.id,
        "state": row.state,
        "stage": row.stage,
        "loans_done": row.loans_done,
        "loans_total": row.loans_total,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
        "valuation_id": row.valuation_id,
        "parameters": row.parameters,
        "problem": row.problem,
    }
