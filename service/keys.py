"""API keys: shown once when made, kept as hashes, with a role and a limit."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from service.clock import now
from service.errors import NotFoundError
from service.storage import KEYS, writing

Role = Literal["valuer", "reviewer", "operator"]
ROLES: Final[tuple[Role, ...]] = ("valuer", "reviewer", "operator")
_PREFIX: Final = "npl_"


@dataclass(frozen=True)
class ApiKey:
    """A key as the service knows it: never the key itself.

    Attributes
    ----------
    id : str
        Public name of the key.
    name : str
        Whose it is.
    role : {"valuer", "reviewer", "operator"}
        What it may do.
    requests_per_minute : int, optional
        Its own limit.
    created_at, revoked_at : str
        Times, UTC.
    """

    id: str
    name: str
    role: Role
    requests_per_minute: int | None
    created_at: str
    revoked_at: str | None


def create_key(
    engine: sa.Engine, name: str, role: Role, requests_per_minute: int | None = None
) -> tuple[ApiKey, str]:
    """Make a key.

    Returns
    -------
    ApiKey
        What is kept of it.
    str
        The key, which cannot be shown again.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(secrets.token_hex(4), name, role, requests_per_minute, now(), None)
    with writing(engine).begin() as connection:
        connection.execute(sa.insert(KEYS).values(digest=digest(secret), **vars(key)))
    return key, secret


def revoke_key(engine: sa.Engine, key_id: str) -> None:
    """Make a key worthless.

    Raises
    ------
    NotFoundError
        When there is no such key in force.
    """
    in_force = KEYS.c.revoked_at.is_(None)
    with writing(engine).begin() as connection:
        done = connection.execute(
            sa.update(KEYS).where(KEYS.c.id == key_id, in_force).values(revoked_at=now())
        )
    if not done.rowcount:
        raise NotFoundError(f"no key {key_id} in force; 'npl keys list' tells which are")


def list_keys(engine: sa.Engine) -> list[ApiKey]:
    """All keys, the oldest first."""
    columns = [column for column in KEYS.c if column.name != "digest"]
    with engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(KEYS.c.created_at, KEYS.c.id))
        return [ApiKey(**row._mapping) for row in rows]


def find_key(engine: sa.Engine, secret: str) -> ApiKey | None:
    """The key in force that a caller has shown; None where it is none."""
    columns = [column for column in KEYS.c if column.name != "digest"]
    # What is looked up is a hash of 256 random bits: how long the search takes tells nothing.
    query = sa.select(*columns).where(KEYS.c.digest == digest(secret), KEYS.c.revoked_at.is_(None))
    with engine.connect() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else ApiKey(**row._mapping)


def digest(secret: str) -> str:
    """Hash under which a key is kept. Keys are random, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()
