"""The service's database: its tables, and one engine for SQLite and PostgreSQL alike."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import make_url

from service.errors import StartError
from service.settings import Settings

METADATA: Final = sa.MetaData()
# How long a transaction waits for another one's lock on the file.
_SQLITE_SECONDS: Final = 5.0
# Moments are kept as ISO texts in UTC: both databases order and give them back alike.
_TIME: Final = sa.String(32)
_HASH: Final = sa.String(64)

KEYS: Final = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("digest", _HASH, nullable=False, unique=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("requests_per_minute", sa.Integer),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("revoked_at", _TIME),
)
PACKAGES: Final = sa.Table(
    "packages",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("key_id", sa.String(16), nullable=False),
    sa.Column("idempotency_key", sa.String(200)),
    sa.Column("input_hash", _HASH, nullable=False),
    sa.Column("input_format", sa.String(16), nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("stage", sa.String(32), nullable=False, server_default="waiting"),
    sa.Column("loans_done", sa.Integer, nullable=False, server_default="0"),
    sa.Column("loans_total", sa.Integer),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    sa.Column("worker", sa.String(64)),
    sa.Column("lease_until", _TIME),
    sa.Column("problem", sa.JSON),
    sa.Column("valuation_id", sa.String(32)),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("finished_at", _TIME),
    sa.UniqueConstraint("key_id", "idempotency_key"),
)
VALUATIONS: Final = sa.Table(
    "valuations",
    METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    # The entry as it was hashed, to the byte.
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("previous_hash", _HASH, nullable=False),
    sa.Column("entry_hash", _HASH, nullable=False),
    # What a replay reads: the loans that were valued, identifiers as keyed hashes.
    sa.Column("input", sa.LargeBinary),
)
# One row, locked while an entry is added: the chain has one end.
CHAIN: Final = sa.Table(
    "chain",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("entry_hash", _HASH, nullable=False),
)


def open_database(settings: Settings) -> sa.Engine:
    """Engine of the service's database, its tables brought up to date."""
    url = settings.database
    if url.startswith("sqlite"):
        name = make_url(url).database
        Path(name or "").parent.mkdir(parents=True, exist_ok=True)
    patient = patient_engine(url)
    try:
        _upgrade(patient)
    finally:
        patient.dispose()
    return make_engine(url)


def existing_database(settings: Settings) -> sa.Engine:
    """Engine of a database that a service has made; nothing is made or brought up to date.

    Raises
    ------
    StartError
        When there is none, or it is not a service's.
    """
    url = make_url(settings.database)
    shown = url.render_as_string(hide_password=True)
    mend = "give the folder of the service (NPL_DATA_FOLDER), or its NPL_DATABASE_URL"
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise StartError(f"{shown}: no database there; {mend}")
    # A command that reads may take its time, as the service may not.
    engine = patient_engine(settings.database)
    try:
        absent = {VALUATIONS.name, CHAIN.name} - set(sa.inspect(engine).get_table_names())
    except sa.exc.DatabaseError as error:
        raise StartError(f"{shown}: cannot be read ({error.orig}); {mend}") from error
    if absent:
        raise StartError(f"{shown}: not of a service, it lacks {', '.join(sorted(absent))}; {mend}")
    return engine


def make_engine(url: str) -> sa.Engine:
    """Engine of a database, without touching it; one that does not answer in time is an error."""
    engine = patient_engine(url)
    if engine.dialect.name == "postgresql":
        from service.postgresql import PunctualConnection  # noqa: PLC0415

        @sa.event.listens_for(engine, "do_connect")
        def connect(_dialect: object, _record: object, given: Any, named: Any) -> Any:
            return PunctualConnection.connect(*given, **named)

    return engine


def patient_engine(url: str) -> sa.Engine:
    """Engine whose statements may take their time, as bringing tables up to date may."""
    parts = make_url(url)
    if parts.drivername == "postgresql":
        parts = parts.set(drivername="postgresql+psycopg")
    if parts.get_backend_name() == "sqlite":
        engine = sa.create_engine(parts, connect_args={"timeout": _SQLITE_SECONDS})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    from service.postgresql import CONNECT_SECONDS  # noqa: PLC0415

    return sa.create_engine(
        parts,
        connect_args={"connect_timeout": CONNECT_SECONDS},
        pool_pre_ping=True,
        pool_size=10,
        pool_timeout=CONNECT_SECONDS,
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transactions begin too late for a read that a write depends on.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(engine: sa.Engine) -> sa.Engine:
    """The engine, its transactions taking SQLite's write lock as they begin."""
    return engine.execution_options(writes=True)


def _upgrade(engine: sa.Engine) -> None:
    with as_file(files("service") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        with writing(engine).begin() as connection:
            if connection.dialect.name == "postgresql":
                # Two processes that start at once wait for one another.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7465001)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
