"""`/healthz`, `/readyz`, `/metrics`: for those who keep the service running."""

import asyncio
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from models.reference import PREFIX
from service.errors import UnavailableError
from service.middleware import MODEL, REFUSED, SHADOW_LOANS, SHADOW_RATE
from service.openapi import content, problems
from service.security import Reviewer
from service.state import Service
from service.storage import CHAIN, writing

router = APIRouter(tags=["health"])
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: problems()[503]}


@router.get("/healthz", summary="The process answers")
async def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "alive"}


@router.get("/readyz", summary="Requests can be served", responses=_UNAVAILABLE)
async def readyz(request: Request) -> dict[str, Any]:
    """Say that model and database can be used, and whether a newer model was refused."""
    service: Service = request.app.state.service
    try:
        await asyncio.wait_for(asyncio.to_thread(_ask, service.engine), 5)
    except (sa.exc.SQLAlchemyError, TimeoutError) as error:
        raise UnavailableError("the database cannot be reached") from error
    served, refused = service.model.served, service.model.refused
    told = None
    if refused is not None:
        # Anybody may ask: a registered version is named, a folder and the whole reason are not.
        source = refused.source if refused.source.startswith(PREFIX) else "folder"
        told = {"source": source, "kind": refused.kind, "since": refused.since}
    return {"status": "ready", "model_version": served.version, "refused": told}


def _ask(engine: sa.Engine) -> None:
    # An entry must be able to go on record: a file that can only be read serves nobody.
    with writing(engine).begin() as connection:
        connection.execute(sa.select(CHAIN.c.sequence))


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: content("text/plain", "Prometheus text."), **problems()},
)
async def metrics(request: Request, _key: Reviewer) -> Response:
    """Tell the figures of this process."""
    model = request.app.state.service.model
    MODEL.clear()
    MODEL.labels(model.served.version).set(1)
    for kind in ("model", "registry"):
        refused = model.refused is not None and model.refused.kind == kind
        REFUSED.labels(kind).set(1 if refused else 0)
    _tell_shadow(request.app.state.service)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _tell_shadow(service: Service) -> None:
    for gauge in (SHADOW_LOANS, SHADOW_RATE):
        gauge.clear()
    found = None if service.shadow is None else service.shadow.as_document()["comparison"]
    if found is not None:
        for name, told in found["by_asset_class"].items():
            SHADOW_LOANS.labels(name).set(told["loans"])
            SHADOW_RATE.labels(name).set(told["mean_rate_difference"])
