"""Who may do what: a key in every request, its role, and its limit."""

import threading
import time
from collections.abc import Callable
from typing import Annotated, Final

import sqlalchemy as sa
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.errors import ForbiddenError, RateLimitedError, StartError, UnauthenticatedError
from service.keys import ApiKey, Role, create_key, digest, find_key, list_keys
from service.settings import Settings

# A revoked key is refused within this time.
_REMEMBERED_SECONDS: Final = 2.0
_REMEMBERED_KEYS: Final = 10_000
_BEARER: Final = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="A key of `npl keys create`."
)


def first_key(engine: sa.Engine, settings: Settings) -> str | None:
    """Make the first key where the service is reached from this machine alone.

    Returns
    -------
    str, optional
        The key, to be shown once; None where keys exist.

    Raises
    ------
    StartError
        When there is no key and others can reach the service: it is never open by accident.
    """
    if any(key.revoked_at is None for key in list_keys(engine)):
        return None
    if not settings.on_loopback:
        raise StartError(
            f"no API key exists, and {settings.host} can be reached by others: make one with"
            " 'npl keys create NAME --role operator', or listen on 127.0.0.1"
        )
    return create_key(engine, "first key", "operator")[1]


class Gatekeeper:
    """Knows keys and counts their requests.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The service's database.
    requests_per_minute : int
        Limit of a key without its own.
    """

    def __init__(self, engine: sa.Engine, requests_per_minute: int) -> None:
        self._engine = engine
        self._usual = requests_per_minute
        self._known: dict[str, tuple[float, ApiKey | None]] = {}
        self._allowance: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def key_of(self, secret: str) -> ApiKey:
        """The key a caller has shown.

        Raises
        ------
        UnauthenticatedError
            When it is not in force.
        """
        name, moment = digest(secret), time.monotonic()
        known = self._known.get(name)
        if known is None or moment - known[0] > _REMEMBERED_SECONDS:
            if len(self._known) > _REMEMBERED_KEYS:
                self._known.clear()
            known = (moment, find_key(self._engine, secret))
            self._known[name] = known
        if known[1] is None:
            raise UnauthenticatedError("the key is unknown or revoked")
        return known[1]

    def count(self, key: ApiKey) -> None:
        """Take one request off a key's allowance, which fills evenly.

        Raises
        ------
        RateLimitedError
            When nothing is left of it.
        """
        limit = key.requests_per_minute or self._usual
        moment = time.monotonic()
        with self._lock:
            left, since = self._allowance.get(key.id, (float(limit), moment))
            left = min(float(limit), left + (moment - since) * limit / 60)
            if left < 1:
                self._allowance[key.id] = (left, moment)
                raise RateLimitedError(
                    f"the key may send {limit} requests a minute; wait and send again",
                    retry_after_seconds=(1 - left) * 60 / limit,
                )
            self._allowance[key.id] = (left - 1, moment)


def require(*roles: Role) -> Callable[..., ApiKey]:
    """Dependency that lets only keys of some roles pass; an operator may do everything."""

    def authorised(
        request: Request,
        shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> ApiKey:
        if shown is None:
            raise UnauthenticatedError("send the header 'Authorization: Bearer <key>'")
        keeper: Gatekeeper = request.app.state.service.gatekeeper
        key = keeper.key_of(shown.credentials)
        request.state.key_id = key.id
        keeper.count(key)
        if key.role != "operator" and key.role not in roles:
            raise ForbiddenError(
                f"a {key.role} may not do this; it takes {' or '.join((*roles, 'operator'))}"
            )
        return key

    return authorised


Valuer = Annotated[ApiKey, Depends(require("valuer"))]
Reader = Annotated[ApiKey, Depends(require("valuer", "reviewer"))]
Reviewer = Annotated[ApiKey, Depends(require("reviewer"))]
