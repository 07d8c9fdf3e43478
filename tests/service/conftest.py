"""A running service of one small model, asked over HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn

from features.portfolio import Portfolio
from models.bundle import Bundle, Provenance, read_bundle, write_bundle
from models.recovery import RecoveryModel
from service.app import make_app, start
from service.keys import create_key
from service.patience import PunctualProtocol
from service.settings import Settings
from service.state import Service
from training.examples import with_typical_examples

PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ARROW = "application/vnd.apache.arrow.file"


@pytest.fixture(scope="session")
def bundle_folder(
    dated_model: RecoveryModel, simulated: Portfolio, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("service") / "bundle"
    provenance = Provenance(
        data_hash="0" * 64, git_commit=None, versions={}, known_on="2025-01-01", settings={}
    )
    bare = Bundle(dated_model, simulated.meta, provenance, [])
    write_bundle(folder, with_typical_examples(bare, simulated))
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return read_bundle(bundle_folder)


@pytest.fixture(scope="session")
def tape(simulated: Portfolio) -> pl.DataFrame:
    """Forty loans to be valued, as a buyer sees them."""
    return simulated.tape.slice(600, 40).drop("closed_date", "disposal_status").collect()


MakeService = Callable[..., Service]


@pytest.fixture(scope="session")
def make_service(
    bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeService]:
    """Put a service together; keyword arguments replace its settings."""
    made: list[Service] = []

    def make(**changed: Any) -> Service:
        given: dict[str, Any] = {
            "model": str(bundle_folder),
            "data_folder": tmp_path_factory.mktemp("data"),
        }
        service = start(Settings(**(given | changed)))
        made.append(service)
        return service

    yield make
    for service in made:
        if not service.stopping.is_set():
            service.close()


@pytest.fixture(scope="session")
def service(make_service: MakeService) -> Service:
    return make_service(max_rows=5_000, max_columns=120, max_decompressed_bytes=64 << 20)


@pytest.fixture(scope="session")
def key(service: Service) -> str:
    return create_key(service.engine, "tests", "operator")[1]


@pytest.fixture(scope="session")
def client(service: Service, key: str) -> Iterator[httpx.Client]:
    """A client with an operator's key, on the other end of a real connection."""
    headers = {"Authorization": f"Bearer {key}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as found,
    ):
        yield found


@contextmanager
def running(service: Service) -> Iterator[str]:
    """Serve, and give the address."""
    config = uvicorn.Config(
        make_app(service), host="127.0.0.1", port=0, log_config=None, http=PunctualProtocol
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def loans_of(tape: pl.DataFrame) -> list[dict[str, Any]]:
    """Loans as a caller writes them: days as texts, nothing where nothing is known."""
    return [
        {
            name: value.isoformat() if hasattr(value, "isoformat") else value
            for name, value in row.items()
            if value is not None
        }
        for row in tape.to_dicts()
    ]


def wait_for(client: httpx.Client, package_id: str) -> dict[str, Any]:
    """Status of a package once it has ended."""
    with client.stream("GET", f"/v1/packages/{package_id}/events") as events:
        for _ in events.iter_lines():
            pass
    status: dict[str, Any] = client.get(f"/v1/packages/{package_id}").json()
    return status
