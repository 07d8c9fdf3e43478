"""`/healthz`, `/readyz`, `/metrics`: for those who keep the service running."""

import asyncio
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.errors import UnavailableError
from service.middleware import MODEL, REFUSED
from service.openapi import content, problems
from service.security import Reviewer
from service.state import Service

router = APIRouter(tags=["health"])
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: problems()[503]}


@router.get("/healthz", summary="The process answers")
async def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "alive"}


@router.get("/readyz", summary="Requests can be served", responses=_UNAVAILABLE)
async def readyz(request: Request) -> dict[str, str]:
    """Say that model and database can be used."""
    service: Service = request.app.state.service
    try:
        await asyncio.wait_for(asyncio.to_thread(_ask, service.engine), 5)
    except (sa.exc.SQLAlchemyError, TimeoutError) as error:
        raise UnavailableError("the database cannot be reached") from error
    return {"status": "ready", "model_version": service.model.served.version}


def _ask(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))


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
    REFUSED.set(0 if model.refused is None else 1)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
