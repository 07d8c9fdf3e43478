"""The application: its parts put together, its errors told as problems."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from features.errors import FeaturesError
from models.errors import BundleError, ModelsError, ScoringError
from service.audit import Recorder
from service.corrections import CorrectionsInService
from service.errors import PROBLEM, ServiceError, encoded, problem
from service.first_scores import FirstScores
from service.identifiers import KeyedHash
from service.incoming import Incoming, UnsettledError
from service.known_cash import KnownCashes
from service.middleware import RequestContext
from service.routes import health, models, monitoring, packages, recoveries, results, valuations
from service.security import Gatekeeper
from service.served import ModelInService
from service.settings import Settings
from service.shadow import Shadow
from service.state import Service
from service.storage import open_database
from service.worker import Worker

_log = structlog.get_logger("service.app")
_AGAIN_SECONDS: Final = "5"
# Many may wait for a database that is gone; what else needs a thread must not wait with them.
_WAITING_THREADS: Final = 64
_DESCRIPTION: Final = """Recovery forecasts of non-performing loans (不良贷款回收率预测).

Value analysis support (价值分析), not an appraisal (价值评估). Rates are fractions, amounts in the
currency of the model. Errors are `application/problem+json`.
"""


def start(settings: Settings) -> Service:
    """Put the parts of a service together.

    Raises
    ------
    models.errors.ModelsError
        When the model or the book of corrections cannot be used.
    sqlalchemy.exc.SQLAlchemyError
        When the database cannot be opened.
    """
    engine = open_database(settings)
    model = ModelInService(settings.model, settings.data_folder / "bundles")
    hashes = KeyedHash(settings.secret())
    stopping = threading.Event()
    return Service(
        settings=settings,
        engine=engine,
        model=model,
        corrections=CorrectionsInService(
            settings.corrections, settings.data_folder / "corrections"
        ),
        gatekeeper=Gatekeeper(engine, settings.requests_per_minute),
        recorder=Recorder(engine),
        hashes=hashes,
        cashes=KnownCashes(settings.store, hashes),
        incoming=Incoming.opened(settings.data_folder),
        first_scores=(
            FirstScores(engine, model, settings.data_folder) if model.follows_champion else None
        ),
        shadow=_shadow(settings, stopping),
        stopping=stopping,
    )


def _shadow(settings: Settings, stopping: threading.Event) -> Shadow | None:
    if not settings.shadow:
        return None
    # Apart: what never served is for reviewers alone.
    archive = settings.data_folder / "shadow"
    return Shadow(settings.shadow, archive, settings.champion_seconds, stopping)


def make_app(service: Service) -> FastAPI:
    """The application of a service; it ends the service when it ends."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        settings, stopping = service.settings, service.stopping
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_WAITING_THREADS, "waiting"))
        beside = [lambda: service.model.watch(settings, stopping)]
        if service.shadow is not None:
            beside.append(service.shadow.run)
        for _ in range(settings.workers_in_process):
            worker = Worker(settings, service.engine, service.model, service.corrections, stopping)
            beside.append(worker.run)
        first_scores = service.first_scores
        if first_scores is not None:
            beside.append(lambda: first_scores.watch(settings.champion_seconds, stopping))
        service.threads += [threading.Thread(target=work, daemon=True) for work in beside]
        for thread in service.threads:
            thread.start()
        yield
        service.close()

    app = FastAPI(
        title="npl-recovery",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        # Addresses are exact: a redirect would be a status that no route tells of.
        redirect_slashes=False,
    )
    app.state.service = service
    for module in (recoveries, packages, results, monitoring, valuations, models, health):
        app.include_router(module.router)
    _add_handlers(app)
    app.add_middleware(RequestContext)
    return app


def _add_handlers(app: FastAPI) -> None:
    def answer(request: Request, status: int, title: str, detail: str, **more: Any) -> Response:
        document = problem(status, title, detail, request.state.request_id) | more
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        if status == 429:
            headers["Retry-After"] = str(max(1, round(more["retry_after_seconds"])))
        if status == 503:
            headers["Retry-After"] = _AGAIN_SECONDS
        return Response(encoded(document), status, headers, PROBLEM)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        return answer(request, error.status, error.title, error.detail, **error.more)

    async def data(request: Request, error: Exception) -> Response:
        return answer(request, 422, "Data cannot be used", str(error))

    async def model(request: Request, error: Exception) -> Response:
        _log.error("model cannot be used", error=str(error))
        return answer(request, 503, "Unavailable", "the model cannot be used; tell the operator")

    async def database(request: Request, error: Exception) -> Response:
        _log.error("database", error=type(error).__name__)
        return answer(request, 503, "Unavailable", "the database cannot be reached; try again")

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        title = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, "Refused")
        found = answer(request, error.status_code, title, str(error.detail))
        found.headers.update(error.headers or {})
        return found

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        told = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        )
        return answer(request, 422, "Data cannot be used", told)

    for kind, handler in (
        (ServiceError, ours),
        (FeaturesError, data),
        (ScoringError, data),
        (BundleError, model),
        (ModelsError, model),
        (sa.exc.SQLAlchemyError, database),
        (UnsettledError, database),
        (TimeoutError, database),
        (HTTPException, framework),
        (RequestValidationError, parameters),
    ):
        app.add_exception_handler(kind, handler)
