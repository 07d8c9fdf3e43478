"""Errors of the service, each with its status, answered as problem+json (RFC 9457)."""

from typing import Any, Final

import msgspec

PROBLEM: Final = "application/problem+json"


class ServiceError(Exception):
    """Root of all errors raised by `service`.

    Parameters
    ----------
    detail : str
        What was wrong, and the mend.
    more : dict, optional
        Further members of the problem.
    """

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.more = more

    def document(self, request_id: str) -> dict[str, Any]:
        """The problem as plain values."""
        return problem(self.status, self.title, self.detail, request_id) | self.more


class StartError(ServiceError):
    """The service cannot start as it is set up."""


class MalformedError(ServiceError):
    """The request cannot be read."""

    status = 400
    title = "Malformed request"


class UnauthenticatedError(ServiceError):
    """No key, or none that is known."""

    status = 401
    title = "Not authenticated"


class ForbiddenError(ServiceError):
    """The key's role may not do this."""

    status = 403
    title = "Not permitted"


class NotFoundError(ServiceError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class ConflictError(ServiceError):
    """The request does not fit the state of what it asks for."""

    status = 409
    title = "Conflict"


class GoneError(ServiceError):
    """It was here, and was deleted when its time was over."""

    status = 410
    title = "Gone"


class TooLargeError(ServiceError):
    """The body is larger than the service takes."""

    status = 413
    title = "Too large"


class UnsupportedError(ServiceError):
    """The body is of a kind the service does not read."""

    status = 415
    title = "Unsupported media type"


class UnprocessableError(ServiceError):
    """The data cannot be used."""

    status = 422
    title = "Data cannot be used"


class RateLimitedError(ServiceError):
    """The key has used up its requests."""

    status = 429
    title = "Too many requests"


class SlowError(ServiceError):
    """The body did not arrive in time."""

    status = 408
    title = "Request timeout"


class UnavailableError(ServiceError):
    """The service cannot do this now."""

    status = 503
    title = "Unavailable"


def problem(status: int, title: str, detail: str, request_id: str) -> dict[str, Any]:
    """Members every problem has."""
    return {
        "type": "about:blank",
        "status": status,
        "title": title,
        "detail": detail,
        "request_id": request_id,
    }


def encoded(document: dict[str, Any]) -> bytes:
    """A problem as bytes."""
    return msgspec.json.encode(document)
