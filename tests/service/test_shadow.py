"""A challenger in the shadow: compared with what was answered, and never in anybody's way."""

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

from features.portfolio import Portfolio
from models import registry
from models.bundle import Bundle, write_bundle
from models.example_scores import with_examples
from models.mlflow_store import Store
from models.reference import registered
from models.request import check_bare_tape
from models.scoring import score_loans
from service import shadow
from service.keys import create_key
from service.recovery import answer_request
from service.state import Service
from tests.service.conftest import MakeService, loans_of, running
from training.tracking import tracked_run

URL = "/v1/recoveries"
SUMMARY = "/v1/models/shadow"


@pytest.fixture(scope="module")
def challenger(bundle: Bundle) -> Bundle:
    """A model that says more of every loan, of its examples too."""
    assert bundle.examples is not None
    other = replace(bundle, model=replace(bundle.model, level=bundle.model.level + 0.3))
    return with_examples(other, list(bundle.examples.loans), list(bundle.examples.ledger))


@pytest.fixture
def shadowed(make_service: MakeService, challenger: Bundle, tmp_path: Path) -> Service:
    write_bundle(tmp_path / "challenger", challenger)
    return make_service(
        shadow=str(tmp_path / "challenger"), champion_seconds=3600, workers_in_process=0
    )


@contextmanager
def asking(service: Service) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'a', 'operator')[1]}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        yield client


def soon(client: httpx.Client, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 20
    while True:
        told: dict[str, Any] = client.get(SUMMARY).json()
        if holds(told):
            return told
        assert time.monotonic() < end, told
        time.sleep(0.02)


def test_the_comparison_is_that_of_the_two_models(
    shadowed: Service, bundle: Bundle, challenger: Bundle, simulated: Portfolio
) -> None:
    # A package is of one class: loans of many.
    tape = simulated.tape.gather_every(50).drop("closed_date", "disposal_status").collect()
    assert tape.height == 40
    bad = loans_of(tape[:1])[0] | {"loan_id": "bad", "original_amount": -1}
    with asking(shadowed) as client:
        for start in (0, 20):
            body = {"loans": [*loans_of(tape[start : start + 20]), bad], "reasons": start == 0}
            assert client.post(URL, json=body).status_code == 200
        told = soon(client, lambda told: told["requests"]["compared"] == 2)
        metrics = client.get("/metrics").text
        # What never served has no card.
        assert client.get(f"/v1/models/{challenger.version}/card").status_code == 404
        assert client.get(f"/v1/models/{bundle.version}/card").status_code == 200
    checked = check_bare_tape(tape, bundle, "tape")
    rates = [
        score_loans(one.model, checked.tape, checked.ledger)["recovery_rate"]
        for one in (bundle, challenger)
    ]
    loans = checked.tape.collect().select(
        "asset_class",
        ead=score_loans(bundle.model, checked.tape, checked.ledger)["ead"],
        champion=rates[0],
        moved=rates[1] - rates[0],
    )
    found = told["comparison"]
    assert (found["champion"], found["challenger"]) == (bundle.version, challenger.version)
    assert found["loans_only_one_scored"] == 0
    groups = [("all", loans, found["all"])] + [
        (str(name), own, found["by_asset_class"][name])
        for (name,), own in loans.group_by("asset_class")
    ]
    assert len(found["by_asset_class"]) == len(groups) - 1 > 3
    for _, own, figures in groups:
        moved = own["moved"]
        assert figures["loans"] == own.height
        assert figures["mean_rate_difference"] == pytest.approx(moved.mean(), rel=1e-9)
        assert figures["share_beyond"] == pytest.approx((moved.abs() > 0.05).mean())
        amount = (own["ead"] * moved).sum()
        assert figures["difference_amount"] == pytest.approx(amount, rel=1e-6)
        champion = (own["ead"] * own["champion"]).sum()
        assert figures["champion_amount"] == pytest.approx(champion, rel=1e-9)
    assert 0 < found["all"]["share_beyond"] < 1
    name = next(iter(found["by_asset_class"]))
    mean = found["by_asset_class"][name]["mean_rate_difference"]
    assert f'npl_shadow_mean_rate_difference{{asset_class="{name}"}} {mean!r}' in metrics


def test_nobody_waits_for_the_shadow_and_what_it_has_no_room_for_is_let_go(
    shadowed: Service, tape: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def stuck(*arguments: Any) -> Any:
        at_work.set()
        go_on.wait(30)
        return answer_request(*arguments)

    monkeypatch.setattr(shadow, "answer_request", stuck)
    body = {"loans": loans_of(tape[:2])}
    try:
        with asking(shadowed) as client:
            for _ in range(3):
                assert client.post(URL, json=body).status_code == 200
            assert at_work.wait(20)
            # The challenger is stuck, and requests are answered still.
            monkeypatch.setattr(shadow, "MOST_WAITING_BYTES", 1)
            for _ in range(4):
                assert client.post(URL, json=body).status_code == 200
            soon(client, lambda told: told["requests"]["dropped"] == 4)
            go_on.set()
            told = soon(client, lambda told: told["requests"]["compared"] == 3)
            assert told["comparison"]["all"]["loans"] == 6
    finally:
        go_on.set()


def test_a_challenger_that_fails_fails_alone(
    shadowed: Service, tape: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("of the challenger")

    monkeypatch.setattr(shadow, "answer_request", broken)
    with asking(shadowed) as client:
        for _ in range(2):
            assert client.post(URL, json={"loans": loans_of(tape[:1])}).status_code == 200
        told = soon(client, lambda told: told["requests"]["failed"] == 2)
        assert told["comparison"] is None
        monkeypatch.undo()
        assert client.post(URL, json={"loans": loans_of(tape[:1])}).status_code == 200
        soon(client, lambda told: told["requests"]["compared"] == 1)


def test_it_is_for_reviewers_and_only_where_it_is_set(
    shadowed: Service, client: httpx.Client
) -> None:
    missing = client.get(SUMMARY)
    assert missing.status_code == 404
    assert "--shadow" in missing.json()["detail"]
    key = create_key(shadowed.engine, "v", "valuer")[1]
    with running(shadowed) as address:
        headers = {"Authorization": f"Bearer {key}"}
        assert httpx.get(address + SUMMARY, headers=headers).status_code == 403


def test_the_registrys_challenger_comes_and_goes(
    make_service: MakeService,
    store: Store,
    simulated: Portfolio,
    bundle_folder: Path,
    challenger: Bundle,
    tape: pl.DataFrame,
    tmp_path: Path,
) -> None:
    def register(folder: Path) -> None:
        with tracked_run("train", simulated, store=store) as run:
            registry.register(store, folder, run.run_id)

    register(bundle_folder)
    service = make_service(
        model="champion", shadow="challenger", champion_seconds=0.2, workers_in_process=0
    )
    with asking(service) as client:
        told = soon(client, lambda told: "no challenger" in (told["resting"] or ""))
        write_bundle(tmp_path / "challenger", challenger)
        register(tmp_path / "challenger")
        soon(client, lambda told: told["resting"] is None)
        client.post(URL, json={"loans": loans_of(tape[:2])})
        told = soon(client, lambda told: told["comparison"] is not None)
        assert told["comparison"]["challenger"] == challenger.version
        registry.promote(store, registered("2"))
        soon(client, lambda told: "no challenger" in (told["resting"] or ""))
        assert client.post(URL, json={"loans": loans_of(tape[:1])}).status_code == 200
