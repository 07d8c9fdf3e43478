"""What surrounds every request: its id, its log line, its metrics, and a plain word on failure."""

import time
import uuid
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import PROBLEM, encoded, problem

_log = structlog.get_logger("service.request")
REQUESTS: Final = Counter("npl_requests_total", "Requests.", ["method", "route", "status"])
SECONDS: Final = Histogram(
    "npl_request_seconds",
    "Time to answer.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
LOANS: Final = Counter("npl_loans_total", "Loans scored or set aside.", ["way", "outcome"])
PACKAGES: Final = Counter("npl_packages_total", "Packages finished.", ["state"])
MODEL: Final = Gauge("npl_model_in_service", "1 for the model in service.", ["version"])
TAKEN_BACK: Final = Counter(
    "npl_champions_taken_back_total", "Champions whose first scores left their expected range."
)
WATCH_TROUBLED: Final = Gauge(
    "npl_champion_watch_troubled",
    "1 while first scores cannot be looked at, or a champion that is to be taken back cannot be.",
)
REFUSED: Final = Gauge(
    "npl_model_refused",
    "1 while the newest model is refused, or the registry cannot tell it; the old one answers.",
    ["kind"],
)

SHADOW: Final = Counter(
    "npl_shadow_requests_total", "Requests offered to the challenger in the shadow.", ["outcome"]
)
SHADOW_LOANS: Final = Gauge(
    "npl_shadow_loans", "Loans that champion and challenger were compared on.", ["asset_class"]
)
SHADOW_RATE: Final = Gauge(
    "npl_shadow_mean_rate_difference",
    "Mean forecast rate of the challenger less the champion's.",
    ["asset_class"],
)


class RequestContext:
    """Middleware; written on ASGI itself, since every request pays for it.

    Parameters
    ----------
    app : ASGI application
        What it surrounds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status, started = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"cache-control", b"no-store"),
                ]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            _log.exception("failed", request_id=request_id)
            if status:
                raise
            await self._apologise(sending, request_id)
        finally:
            self._account(scope, status or 500, time.perf_counter() - started, request_id)

    @staticmethod
    async def _apologise(send: Send, request_id: str) -> None:
        told = "a fault of this service; give the operator the request id"
        body = encoded(problem(500, "Internal error", told, request_id))
        headers = [(b"content-type", PROBLEM.encode())]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    @staticmethod
    def _account(scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "any"
        REQUESTS.labels(method, route, str(status)).inc()
        SECONDS.labels(method, route).observe(seconds)
        # The route, never the address itself: an address may carry what identifies a loan.
        _log.info(
            "answered",
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            milliseconds=round(1000 * seconds, 2),
            key=scope["state"].get("key_id"),
        )
