"""The registry's champion in service, over a real store and a real connection."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from features.portfolio import Portfolio
from models import registry
from models.bundle import Bundle, write_bundle
from models.example_scores import with_examples
from models.mlflow_store import Store
from models.reference import CHAMPION, DEFAULT_NAME, registered
from service.keys import create_key
from tests.service.conftest import MakeService, loans_of, running
from training.tracking import tracked_run

# What is asked of the registry this often is in service a moment later.
SECONDS = 0.2
SOON_SECONDS = 20


@dataclass
class Asked:
    """Answers of requests that went on all the while."""

    statuses: list[int] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


@contextmanager
def asking(address: str, headers: dict[str, str], body: dict[str, Any]) -> Iterator[Asked]:
    """Ask again and again, from two connections, until the block ends."""
    asked, enough = Asked(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
            while not enough.is_set():
                answer = client.post("/v1/recoveries", json=body)
                asked.statuses.append(answer.status_code)
                asked.versions.append(answer.json().get("model_version", answer.text))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        yield asked
    finally:
        enough.set()
        for asker in askers:
            asker.join()


def soon(client: httpx.Client, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What `/v1/models` says once something holds."""
    end = time.monotonic() + SOON_SECONDS
    while True:
        told: dict[str, Any] = client.get("/v1/models").json()
        if holds(told):
            return told
        assert time.monotonic() < end, told
        time.sleep(0.02)


@pytest.fixture
def register(store: Store, simulated: Portfolio, tmp_path: Path) -> Callable[[Bundle], None]:
    def make(bundle: Bundle) -> None:
        write_bundle(tmp_path / bundle.version, bundle)
        with tracked_run("train", simulated, store=store) as run:
            registry.register(store, tmp_path / bundle.version, run.run_id)

    return make


def raised(bundle: Bundle, by: float) -> Bundle:
    """A model that says something else of every loan, of its examples too."""
    assert bundle.examples is not None
    other = replace(bundle, model=replace(bundle.model, level=bundle.model.level + by))
    return with_examples(other, list(bundle.examples.loans), list(bundle.examples.ledger))


def test_a_promotion_is_in_service_and_nothing_is_lost(
    make_service: MakeService,
    register: Callable[[Bundle], None],
    store: Store,
    bundle: Bundle,
    tape: pl.DataFrame,
    tmp_path: Path,
) -> None:
    second, third = raised(bundle, 1.0), raised(bundle, 2.0)
    for version in (bundle, second, third):
        register(version)
    name = f"models:/{DEFAULT_NAME}@{CHAMPION}"
    service = make_service(model=name, champion_seconds=SECONDS, workers_in_process=0)
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'a', 'valuer')[1]}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
        asking(address, headers, {"loans": loans_of(tape[:2]), "reasons": True}) as asked,
    ):
        assert client.get("/v1/models").json()["in_service"]["version"] == bundle.version

        registry.promote(store, registered("2"))
        told = soon(client, lambda told: told["in_service"]["version"] == second.version)
        assert told["in_service"]["source"] == f"models:/{DEFAULT_NAME}/2"
        assert told["refused"] is None

        # Version 3 as somebody left it in the artifacts, made champion by other means than ours.
        manifests = (tmp_path / "mlruns").rglob("bundle/manifest.json")
        (kept,) = (path.parent for path in manifests if third_is_in(path, third))
        write_bundle(kept, replace(third, examples=bundle.examples))
        crown(store, 3)
        told = soon(client, lambda told: told["refused"] is not None)
        assert told["refused"]["source"] == f"models:/{DEFAULT_NAME}/3"
        assert told["refused"]["kind"] == "model"
        assert "of example ex-1 was" in told["refused"]["reason"]
        assert told["in_service"]["version"] == second.version
        ready = client.get("/readyz").json()
        assert ready["model_version"] == second.version
        assert ready["refused"]["source"] == f"models:/{DEFAULT_NAME}/3"

        assert registry.rollback(store).version == 1
        told = soon(client, lambda told: told["in_service"]["version"] == bundle.version)
        assert told["refused"] is None

        assert store.file is not None
        away = store.file.rename(store.file.with_suffix(".away"))
        told = soon(client, lambda told: told["refused"] is not None)
        assert (told["refused"]["kind"], told["refused"]["source"]) == ("registry", name)
        before = len(asked.statuses)
        assert told["in_service"]["version"] == bundle.version
        away.rename(store.file)
        told = soon(client, lambda told: told["refused"] is None)
        assert told["in_service"]["version"] == bundle.version
        assert client.get("/readyz").json()["refused"] is None
        end = time.monotonic() + SOON_SECONDS
        while len(asked.statuses) <= before and time.monotonic() < end:
            time.sleep(0.02)
        assert len(asked.statuses) > before
    assert set(asked.statuses) == {200}
    assert set(asked.versions) == {bundle.version, second.version}


def third_is_in(manifest: Path, third: Bundle) -> bool:
    return f'"level": {third.model.level!r}' in manifest.read_text()


def crown(store: Store, version: int) -> None:
    with registry.answering(store) as client:
        client.set_registered_model_alias(DEFAULT_NAME, CHAMPION, str(version))
