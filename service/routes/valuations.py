"""`/v1/valuations`: what was answered, to whom, by which model; and made again."""

import asyncio
import json
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response

from service import audit
from service.bodies import read_body
from service.errors import ConflictError, NotFoundError
from service.keys import ApiKey
from service.openapi import OPTIONAL_BODY, content, problems
from service.replay import replay
from service.security import Reader
from service.state import Service
from service.taking_back import TAKE_BACK

router = APIRouter(tags=["valuations"])


@router.get(
    "/v1/valuations/{valuation_id}",
    summary="A valuation on record",
    responses={
        200: content("application/json", "The entry.", {"type": "object"}),
        **problems(404, 422),
    },
)
def get_valuation(request: Request, valuation_id: str, key: Reader) -> dict[str, Any]:
    """Tell what is on record of a valuation, and its place in the chain."""
    row = _found(request.app.state.service, valuation_id, key)
    entry: dict[str, Any] = json.loads(row.entry)
    return entry | {"previous_hash": row.previous_hash, "entry_hash": row.entry_hash}


@router.post(
    "/v1/valuations/{valuation_id}/replay",
    summary="Make a valuation again",
    openapi_extra={"requestBody": OPTIONAL_BODY},
    response_class=Response,
    responses={
        200: content("application/json", "The same bytes.", {"type": "object"}),
        **problems(400, 404, 408, 409, 413, 422),
    },
)
async def post_replay(request: Request, valuation_id: str, key: Reader) -> Response:
    """Give the same bytes, or say what is missing.

    With the request's own body the answer is as it was; without one it is made of the loans on
    record, which bear keyed hashes for identifiers.
    """
    service: Service = request.app.state.service
    row = await asyncio.to_thread(_found, service, valuation_id, key)
    if json.loads(row.entry)["kind"] == TAKE_BACK:
        raise ConflictError("a decision of a model is no valuation: it cannot be made again")
    body = await read_body(
        request, service.settings.max_body_bytes, service.settings.request_seconds
    )
    loop = asyncio.get_running_loop()
    again = await loop.run_in_executor(service.scorers, replay, service, row, body)
    return Response(again, media_type="application/json")


def _found(service: Service, valuation_id: str, key: ApiKey) -> sa.Row[Any]:
    """Row of a valuation that the key may see: a valuer sees its own."""
    row = audit.find(service.engine, valuation_id) if len(valuation_id) <= 32 else None
    if row is None or (key.role == "valuer" and json.loads(row.entry)["key_id"] != key.id):
        raise NotFoundError("there is no such valuation")
    return row
