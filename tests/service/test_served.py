"""The model in service: exchanged in one step, never mixed, a bad one refused."""

import math
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import structlog

from models.bundle import Bundle, read_bundle, write_bundle
from models.errors import BundleError
from models.example_scores import with_examples
from service.keys import create_key
from service.served import ModelInService, try_out
from tests.service.conftest import MakeService, loans_of, running


@pytest.fixture
def other(bundle: Bundle) -> Bundle:
    """A model that says something else of every loan, of its examples too."""
    return answering_anew(
        replace(bundle, model=replace(bundle.model, level=bundle.model.level + 1))
    )


def answering_anew(bundle: Bundle) -> Bundle:
    assert bundle.examples is not None
    return with_examples(bundle, list(bundle.examples.loans), list(bundle.examples.ledger))


def reason_of(model: ModelInService) -> str:
    return "" if model.refused is None else model.refused.reason


def test_a_new_model_is_taken_and_a_bad_one_refused(
    bundle: Bundle, other: Bundle, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "model", bundle)
    model = ModelInService(str(tmp_path / "model"), tmp_path / "archive")
    assert not model.refresh()
    write_bundle(tmp_path / "model", other)
    assert model.refresh()
    assert model.served.version == other.version
    (tmp_path / "model" / "manifest.json").write_text("{}")
    assert not model.refresh()
    assert model.served.version == other.version
    assert "manifest" in reason_of(model)
    shutil.rmtree(tmp_path / "model")
    assert not model.refresh()
    assert "no bundle" in reason_of(model)
    write_bundle(tmp_path / "model", bundle)
    assert model.refresh()
    assert reason_of(model) == ""
    assert {read_bundle(f).version for f in (tmp_path / "archive").iterdir()} == {
        bundle.version,
        other.version,
    }


def test_a_model_is_tried_on_its_own_examples(bundle: Bundle) -> None:
    try_out(bundle)
    other = replace(bundle, model=replace(bundle.model, level=bundle.model.level + 1e-9))
    with pytest.raises(BundleError, match="of example ex-1 was"):
        try_out(other)
    with pytest.raises(BundleError, match="carries no example loans"):
        try_out(replace(bundle, examples=None))


@pytest.mark.parametrize("name", ["recovery_rate", "recovery_rate_24m", "ead", "points_ead"])
def test_a_figure_that_differs_in_its_last_bit_refuses_the_model(bundle: Bundle, name: str) -> None:
    assert bundle.examples is not None
    figures = [dict(told) for told in bundle.examples.figures]
    stored = figures[4][name]
    assert stored is not None
    figures[4][name] = math.nextafter(stored, 2 * stored)
    examples = bundle.examples.model_copy(update={"figures": tuple(figures)})
    told = f"{name} of example ex-5 was {figures[4][name]!r} and is {stored!r}; only the last bits"
    with pytest.raises(BundleError, match=re.escape(told)):
        try_out(replace(bundle, examples=examples))


def test_a_refusal_is_told_everywhere_and_the_old_model_answers(
    make_service: MakeService, bundle: Bundle, other: Bundle, tape: pl.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    write_bundle(folder, bundle)
    service = make_service(model=str(folder), champion_seconds=3600, workers_in_process=0)
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'a', 'operator')[1]}"}
    # Another model under the figures of the old one.
    write_bundle(folder, replace(other, examples=bundle.examples))
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
        structlog.testing.capture_logs() as logs,
    ):
        assert client.get("/readyz").json()["refused"] is None
        assert not service.model.refresh()
        assert not service.model.refresh()
        answer = client.post("/v1/recoveries", json={"loans": loans_of(tape[:1])})
        assert answer.json()["model_version"] == bundle.version
        refused = client.get("/v1/models").json()["refused"]
        assert refused["kind"] == "model"
        assert "ex-1" in refused["reason"]
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["refused"] == {
            "source": "folder",
            "kind": "model",
            "since": refused["since"],
        }
        assert 'npl_model_refused{kind="model"} 1.0' in client.get("/metrics").text
        told = [line for line in logs if line["event"] == "model refused"]
        assert [(line["log_level"], line["error"]) for line in told] == [
            ("error", refused["reason"])
        ]
        write_bundle(folder, other)
        assert service.model.refresh()
        assert client.get("/readyz").json()["refused"] is None
        assert 'npl_model_refused{kind="model"} 0.0' in client.get("/metrics").text


def test_no_answer_mixes_two_models(
    make_service: MakeService, bundle: Bundle, other: Bundle, tape: pl.DataFrame, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "a", bundle)
    write_bundle(tmp_path / "b", other)
    folder = tmp_path / "model"
    write_bundle(folder, bundle)
    service = make_service(model=str(folder), champion_seconds=3600, workers_in_process=0)
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'a', 'valuer')[1]}"}
    body = {"loans": loans_of(tape[:3]), "reasons": True}
    answers: list[dict[str, Any]] = []
    enough = threading.Event()
    with running(service) as address:

        def ask() -> None:
            with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
                while not enough.is_set():
                    answer = client.post("/v1/recoveries", json=body)
                    assert answer.status_code == 200, answer.text
                    answers.append(answer.json())

        askers = [threading.Thread(target=ask) for _ in range(2)]
        for asker in askers:
            asker.start()
        for swap in range(10):
            write_bundle(folder, other if swap % 2 == 0 else bundle)
            assert service.model.refresh()
        enough.set()
        for asker in askers:
            asker.join()
    rates: dict[str, set[str]] = {}
    for answer in answers:
        told = str([loan["reasons"] for loan in answer["loans"]])
        rates.setdefault(answer["model_version"], set()).add(told)
    assert set(rates) == {bundle.version, other.version}
    assert [len(told) for told in rates.values()] == [1, 1]
