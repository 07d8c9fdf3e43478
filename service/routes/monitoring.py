"""A valued package beside its later cash: figures by month, and a page."""

import asyncio
from datetime import date
from functools import partial
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request, Response

from models.package_report.monitoring_page import render_package_monitoring
from service import audit, queue
from service.errors import ConflictError
from service.kept_forecasts import recorded_valuation
from service.keys import ApiKey
from service.known_cash import KnownCash
from service.monitoring import package_monitoring
from service.openapi import SAFE_PAGE, content, problems
from service.routes.packages import found
from service.security import Reader
from service.state import Service

router = APIRouter(tags=["packages"])
_WAITS: Final = problems(404, 409, 422)
AsOf = Annotated[date | None, Query(description="Cash as it was known at the end of this day.")]


@router.get(
    "/v1/packages/{package_id}/monitoring",
    summary="Realised against forecast cash to date, by month, with its alarm band",
    responses={200: content("application/json", "The figures.", {"type": "object"}), **_WAITS},
)
async def get_monitoring(
    request: Request, package_id: str, key: Reader, as_of: AsOf = None
) -> dict[str, Any]:
    """Hold the forecast as it was made against the cash that came since."""
    return await _monitored(request, package_id, key, as_of)


@router.get(
    "/v1/packages/{package_id}/monitoring/page",
    summary="The same as a page",
    response_class=Response,
    responses={200: content("text/html", "One page without scripts."), **_WAITS},
)
async def get_monitoring_page(
    request: Request, package_id: str, key: Reader, as_of: AsOf = None
) -> Response:
    """Draw the curve of the cash within its band."""
    document = await _monitored(request, package_id, key, as_of)
    page = await asyncio.to_thread(render_package_monitoring, document)
    return Response(page, media_type="text/html", headers=SAFE_PAGE)


async def _monitored(
    request: Request, package_id: str, key: ApiKey, as_of: date | None
) -> dict[str, Any]:
    service: Service = request.app.state.service
    row = await asyncio.to_thread(found, service, package_id, key)
    if row.state != queue.DONE:
        raise ConflictError(f"the package is {row.state}, it has no valuation to follow")
    return await service.cashes.followed(row.valuation_id, as_of, partial(_followed, service, row))


def _followed(service: Service, row: sa.Row[Any], known: KnownCash) -> dict[str, Any]:
    recorded = audit.find(service.engine, row.valuation_id)
    assert recorded is not None, "a finished package is on record"
    valuation = recorded_valuation(recorded, service.settings.data_folder)
    assert valuation is not None
    bundle = service.model.archived(valuation.entry["model_version"])
    return package_monitoring(row.id, valuation, bundle, known)
