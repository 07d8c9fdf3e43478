"""A biased champion is taken back by its first scores in service, once, on the record."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import sqlalchemy as sa
import structlog
from typer.testing import CliRunner

from cli.main import app
from features.portfolio import ExtraField, Portfolio
from features.sources.result import no_ledger
from models import registry
from models.bundle import Bundle, write_bundle
from models.errors import BundleError, StoreError
from models.first_scores import TAG, ExpectedScores
from models.mlflow_store import Store
from models.reference import CHAMPION, DEFAULT_NAME, ModelReference
from models.scoring import score_loans
from service import second_opinion
from service.first_scores import SEEN, FirstScores
from service.keys import create_key
from service.middleware import TAKEN_BACK, WATCH_TROUBLED
from service.second_opinion import SecondOpinion
from service.state import Service
from service.storage import VALUATIONS
from service.taking_back import TAKE_BACK
from tests.service.conftest import PARQUET, MakeService, loans_of, running, wait_for
from training.dataset import training_set
from training.examples import with_typical_examples
from training.fit import fit_recovery
from training.settings import FitSettings
from training.tracking import tracked_run

CLASS = "consumer"
Register = Callable[..., ModelReference]
V1, V2 = (ModelReference(DEFAULT_NAME, number, None) for number in (1, 2))


@pytest.fixture(scope="module")
def halved(simulated: Portfolio, bundle: Bundle) -> Bundle:
    """A model that learnt from half of the cash."""
    amounts = ("gross_amount", "collateral_amount", "cost_amount")
    ledger = simulated.ledger.with_columns(pl.col(name) * 0.5 for name in amounts)
    data = training_set(simulated.with_tables(simulated.tape, ledger))
    return with_typical_examples(
        replace(bundle, model=fit_recovery(data, FitSettings())), simulated
    )


@pytest.fixture(scope="module")
def expected(simulated: Portfolio, bundle: Bundle) -> str:
    """Where the scores of a sound model lie."""
    scores = score_loans(bundle.model, simulated.tape, simulated.ledger)
    classes = simulated.tape.select(pl.col("asset_class").cast(pl.String)).collect().to_series()
    told = ExpectedScores.of(scores["recovery_rate"].to_numpy(), classes)
    assert CLASS in told.by_class
    return told.model_dump_json()


@pytest.fixture
def register(store: Store, simulated: Portfolio, expected: str, tmp_path: Path) -> Register:
    def make(bundle: Bundle, tells: bool = True) -> ModelReference:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        write_bundle(folder, bundle)
        with tracked_run("train", simulated, store=store) as run:
            made = registry.register(store, folder, run.run_id).reference
        if tells:
            registry.set_tag(store, made, TAG, expected)
        return made

    return make


@pytest.fixture(scope="module")
def loans(simulated: Portfolio) -> pl.DataFrame:
    """Loans of one class, of several packages."""
    of_class = simulated.tape.filter(pl.col("asset_class") == CLASS).collect()
    return of_class.drop("closed_date", "disposal_status").gather_every(2)[:175]


@contextmanager
def asking(service: Service) -> Iterator[httpx.Client]:
    key = create_key(service.engine, "tests", "operator")[1]
    with (
        running(service) as address,
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60
        ) as client,
    ):
        yield client


def source(client: httpx.Client) -> str:
    return str(client.get("/v1/models").json()["in_service"]["source"])


def send(client: httpx.Client, loans: pl.DataFrame) -> None:
    answer = client.post("/v1/recoveries", json={"loans": loans_of(loans)})
    assert answer.status_code == 200, answer.text


def send_package(service: Service, client: httpx.Client, loans: pl.DataFrame) -> None:
    path = service.settings.data_folder / "tape.parquet"
    loans.write_parquet(path)
    headers = {"content-type": PARQUET}
    sent = client.post("/v1/packages", content=path.read_bytes(), headers=headers).json()
    assert wait_for(client, sent["package_id"])["state"] == "done"


def champion(store: Store) -> int:
    return registry.show(store, ModelReference(DEFAULT_NAME, None, CHAMPION)).of.version


def entries(service: Service) -> list[dict[str, Any]]:
    with service.engine.connect() as connection:
        texts = connection.execute(sa.select(VALUATIONS.c.entry)).scalars()
        told = [json.loads(text) for text in texts]
    return [entry for entry in told if entry["kind"] == TAKE_BACK]


def test_a_biased_champion_is_taken_back_while_serving(
    make_service: MakeService,
    store: Store,
    register: Register,
    bundle: Bundle,
    halved: Bundle,
    loans: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(bundle)
    service = make_service(model="champion", champion_seconds=0.2)
    before = TAKEN_BACK._value.get()
    with asking(service) as client:
        send(client, loans[:170])
        registry.promote(store, register(halved))
        wait_until(lambda: source(client) == str(V2))
        send(client, loans[:60])
        time.sleep(0.6)
        # Sixty loans say nothing yet.
        assert champion(store) == 2
        into = loans[60:170]
        right = score_loans(bundle.model, into.lazy(), no_ledger().lazy())["recovery_rate"]
        send_package(service, client, into)
        wait_until(lambda: source(client) == str(V1))
        assert champion(store) == 1
        (entry,) = entries(service)
        assert entry["model_source"] == str(V2)
        assert entry["back_to"] == str(V1)
        assert f"of {CLASS} lie in fifths 1 and 2" in entry["reason"]
        assert (entry["loans"], len(entry["valuations"])) == (170, 2)
        told = client.get(f"/v1/valuations/{entry['id']}")
        assert told.json()["reason"] == entry["reason"]
        assert client.post(f"/v1/valuations/{entry['id']}/replay").status_code == 409
        former = SecondOpinion(
            service.engine, service.settings.data_folder, V1, halved.model.spec.extra_fields
        )
        hashes = service.hashes.hashed(into)["loan_id"]
        asked = dict(zip(hashes[:3], right[:3], strict=True))
        scored: list[int] = []

        def scoring(model: Any, tape: Any, *others: Any, **named: Any) -> pl.DataFrame:
            scored.append(tape.collect().height)
            return score_loans(model, tape, *others, **named)

        with monkeypatch.context() as patched:
            patched.setattr(second_opinion, "score_loans", scoring)
            # Of 110 loans of the package those alone that it is asked for, and once.
            for _ in range(2):
                assert former.rates(entry["valuations"][1:], asked) == asked
        assert scored == [3]
        # Back in service it is not judged by what the other said.
        send(client, loans[:5])
        assert source(client) == str(V1)
    assert TAKEN_BACK._value.get() == before + 1
    folder = service.settings.data_folder
    verified = CliRunner().invoke(app, ["audit", "verify", "--data", str(folder)])
    assert (verified.exit_code, "the chain is whole" in verified.output) == (0, True)


def wait_until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def promoted(
    make_service: MakeService,
    store: Store,
    register: Register,
    bundle: Bundle,
) -> Callable[..., Service]:
    """A service that has answered with a second champion; its own watch looks once an hour."""

    def make(second: Bundle, first: Bundle = bundle, workers: int = 0) -> Service:
        register(first)
        registry.promote(store, register(second))
        return make_service(model="champion", champion_seconds=3600, workers_in_process=workers)

    return make


def watch_of(service: Service) -> FirstScores:
    return FirstScores(service.engine, service.model, service.settings.data_folder)


def test_of_several_processes_one_takes_back(
    promoted: Callable[..., Service], store: Store, halved: Bundle, loans: pl.DataFrame
) -> None:
    service = promoted(halved)
    with asking(service) as client:
        send(client, loans[:170])
    stopping = threading.Event()
    watches = [watch_of(service) for _ in range(4)]
    threads = [threading.Thread(target=watch.watch, args=(0.02, stopping)) for watch in watches]
    for thread in threads:
        thread.start()
    wait_until(lambda: champion(store) == 1)
    # Those that come late find it done.
    assert not any(watch_of(service).look() for _ in range(2))
    stopping.set()
    for thread in threads:
        thread.join()
    assert champion(store) == 1
    assert len(entries(service)) == 1
    # Whoever promotes it again knows why, and is not overruled by the old loans.
    registry.promote(store, V2)
    service.model.refresh()
    assert not watch_of(service).look()
    assert champion(store) == 2


def test_a_decision_that_was_not_carried_out_is_carried_out(
    promoted: Callable[..., Service],
    store: Store,
    halved: Bundle,
    loans: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = promoted(halved)
    with asking(service) as client:
        send(client, loans[:170])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(registry, "rollback", killed)
        with pytest.raises(KeyboardInterrupt):
            watch_of(service).look()
    assert (champion(store), len(entries(service))) == (2, 1)
    assert watch_of(service).look()
    assert (champion(store), len(entries(service))) == (1, 1)


def test_the_same_loan_again_and_again_is_told_of_once(
    promoted: Callable[..., Service], halved: Bundle, loans: pl.DataFrame
) -> None:
    service = promoted(halved)
    with asking(service) as client:
        for _ in range(5):
            send(client, loans[:60])
        send(client, loans[:170])
    assert watch_of(service).look()
    (entry,) = entries(service)
    assert (entry["loans"], len(entry["valuations"])) == (170, 2)


def test_a_former_champion_that_needs_another_field_has_no_say(
    promoted: Callable[..., Service],
    store: Store,
    bundle: Bundle,
    halved: Bundle,
    loans: pl.DataFrame,
    simulated: Portfolio,
) -> None:
    another = ExtraField(name="court", type="number", meaning_en="court", meaning_zh="法院")
    spec = bundle.model.spec
    spec = spec.model_copy(update={"extra_fields": (*spec.extra_fields, another)})
    former = with_typical_examples(
        replace(bundle, model=replace(bundle.model, spec=spec)),
        simulated.with_tables(simulated.tape.with_columns(court=pl.lit(1.0)), simulated.ledger),
    )
    service = promoted(halved, former, workers=1)
    with asking(service) as client, structlog.testing.capture_logs() as logs:
        send(client, loans[:60])
        send_package(service, client, loans[60:170])
        assert watch_of(service).look()
    assert champion(store) == 1
    told = [line["error"] for line in logs if line["event"].startswith("former champion cannot")]
    assert told == ["the loans on record lack the extra fields court"]


def test_what_could_not_be_judged_is_judged_later(
    promoted: Callable[..., Service],
    store: Store,
    halved: Bundle,
    loans: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = promoted(halved)
    with asking(service) as client:
        send(client, loans[:170])
    watch = watch_of(service)
    with monkeypatch.context() as patched:
        patched.setattr(registry, "load", failing(StoreError("away")))
        with pytest.raises(StoreError, match="away"):
            watch.look()
    # A decision stands and cannot be carried out: told, and tried ever more seldom.
    with monkeypatch.context() as patched:
        patched.setattr(registry, "rollback", failing(BundleError("damaged")))
        pauses = Pauses(4)
        watch.watch(10.0, pauses)
    assert pauses.told == [10.0, 20.0, 40.0, 80.0, 160.0]
    assert (champion(store), len(entries(service))) == (2, 1)
    assert WATCH_TROUBLED._value.get() == 1
    # What a person has promoted anew meanwhile, no old decision takes back.
    registry.rollback(store)
    monkeypatch.setattr(registry, "_now", lambda: "2999-01-01T00:00:00+00:00")
    registry.promote(store, V2)
    watch.watch(10.0, Pauses(2))
    assert WATCH_TROUBLED._value.get() == 0
    assert champion(store) == 2


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


class Pauses(threading.Event):
    """Does not wait, and ends after so many looks."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks
        self.told: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.told.append(timeout)
        return len(self.told) > self._looks


def test_a_champion_of_unknown_scores_or_promotion_is_told_to_be_not_watched(
    make_service: MakeService,
    store: Store,
    register: Register,
    bundle: Bundle,
    halved: Bundle,
    loans: pl.DataFrame,
) -> None:
    register(bundle, tells=False)
    service = make_service(model="champion", champion_seconds=3600, workers_in_process=0)
    watch = service.first_scores
    assert watch is not None
    with asking(service) as client, structlog.testing.capture_logs() as logs:

        def watched() -> bool:
            return bool(client.get("/v1/models").json()["in_service"]["watched"])

        assert not any(watch.look() for _ in range(2))
        assert not watched()
        told = [line for line in logs if line["event"] == "champion is not watched"]
        assert [(line["log_level"], line["source"]) for line in told] == [("warning", str(V1))]
        # Made champion by other means than ours: which promotion is it of?
        register(halved)
        with registry.answering(store) as mlflow:
            mlflow.set_registered_model_alias(DEFAULT_NAME, CHAMPION, "2")
        assert service.model.refresh()
        send(client, loans[:170])
        assert not watch.look()
        assert (watched(), champion(store)) == (False, 2)
        registry.promote(store, V1)
        registry.promote(store, V2)
        assert not watch_of(service).look()
        watch._trial = None
        assert not watch.look()
        assert watched()


def test_a_sound_champion_stays_whatever_loans_come(
    promoted: Callable[..., Service],
    store: Store,
    bundle: Bundle,
    loans: pl.DataFrame,
    simulated: Portfolio,
) -> None:
    shifted = replace(bundle, model=replace(bundle.model, level=bundle.model.level + 0.01))
    service = promoted(with_typical_examples(shifted, simulated))
    watch = watch_of(service)
    rates = score_loans(bundle.model, loans.lazy(), simulated.ledger)["recovery_rate"]
    worst = loans[int(rates.arg_min() or 0)]
    same = pl.concat([worst] * 150).with_columns(loan_id="L-" + pl.int_range(150).cast(pl.String))
    with asking(service) as client:
        # One bad loan under many names lies in one fifth, by either model.
        send(client, same)
        assert not watch.look()
        assert champion(store) == 2
        some = simulated.tape.drop("closed_date", "disposal_status").head(1_900).collect()
        for package in some.partition_by("package_id"):
            send(client, package)
        assert not watch.look()
    assert champion(store) == 2
    assert entries(service) == []
    seen = registry.tag(store, V2, SEEN)
    assert seen == registry.show(store, V2).of.promoted_at
