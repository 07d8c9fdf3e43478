"""`POST /v1/recoveries`: loans in JSON, answered at once."""

import asyncio
import hashlib
import uuid

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from service.audit import Record
from service.bodies import read_body
from service.clock import now
from service.corrections import correction_document
from service.keys import ApiKey
from service.middleware import LOANS
from service.openapi import RECOVERIES_BODY, content, problems
from service.recovery import SOFTWARE, answer_request
from service.schemas import decoded
from service.security import Valuer
from service.shadow import Shadow
from service.state import Service

router = APIRouter(tags=["recoveries"])


@router.post(
    "/v1/recoveries",
    summary="Recovery forecasts of 1 to 10,000 loans",
    openapi_extra={"requestBody": RECOVERIES_BODY},
    responses={
        200: content(
            "application/json",
            "Rates by horizon, quantiles, expected cash, flags, and reasons where asked.",
            {"type": "object"},
        ),
        **problems(400, 408, 413, 422),
    },
    response_class=Response,
)
async def post_recoveries(request: Request, key: Valuer) -> Response:
    """Score loans; the answer stands on record under its `valuation_id` before it is given."""
    service: Service = request.app.state.service
    body = await read_body(
        request, service.settings.max_body_bytes, service.settings.request_seconds
    )
    loop = asyncio.get_running_loop()
    answer, record = await loop.run_in_executor(
        service.scorers, _answered, service, body, key, request.state.request_id
    )
    # Threads that score do not wait for the disk.
    await asyncio.shield(asyncio.wrap_future(service.recorder.add(record)))
    # After the answer has been sent.
    later = None if service.shadow is None else BackgroundTask(_offer, service.shadow, body, answer)
    return Response(answer, media_type="application/json", background=later)


async def _offer(shadow: Shadow, body: bytes, answer: bytes) -> None:
    shadow.offer(body, answer)


def _answered(service: Service, body: bytes, key: ApiKey, request_id: str) -> tuple[bytes, Record]:
    asked = decoded(body)
    # One model from the first line to the last, whatever is exchanged meanwhile.
    served = service.model.served
    valuation_id = uuid.uuid4().hex
    corrections = service.corrections.in_force(served.version)
    answer = answer_request(
        asked,
        served.bundle,
        corrections,
        valuation_id,
        service.hashes,
        service.settings.personal_data,
    )
    LOANS.labels("json", "scored").inc(answer.scored)
    LOANS.labels("json", "set_aside").inc(answer.set_aside)
    entry = {
        "kind": "recoveries",
        "made_at": now(),
        "key_id": key.id,
        "key_name": key.name,
        "request_id": request_id,
        "input_hash": hashlib.sha256(body).hexdigest(),
        "output_hash": hashlib.sha256(answer.body).hexdigest(),
        "kept_output_hash": answer.kept_hash,
        "model_version": served.version,
        "model_source": served.source,
        "correction": correction_document(corrections),
        "parameters": asked.parameters(),
        "software": SOFTWARE,
        "loans": answer.scored + answer.set_aside,
    }
    return answer.body, Record(valuation_id, entry, answer.stored)
