"""The model in service: exchanged in one step, never mixed, a bad one refused."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from models.bundle import Bundle, read_bundle, write_bundle
from models.errors import BundleError
from service.keys import create_key
from service.served import ModelInService, try_out
from tests.service.conftest import MakeService, loans_of, running


@pytest.fixture
def other(bundle: Bundle) -> Bundle:
    """A model that says something else of every loan."""
    return replace(bundle, model=replace(bundle.model, level=bundle.model.level + 1))


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
    assert "manifest" in str(model.refused)
    shutil.rmtree(tmp_path / "model")
    assert not model.refresh()
    assert "no bundle" in str(model.refused)
    write_bundle(tmp_path / "model", bundle)
    assert model.refresh()
    assert model.refused is None
    assert {read_bundle(f).version for f in (tmp_path / "archive").iterdir()} == {
        bundle.version,
        other.version,
    }


def test_a_model_without_a_figure_for_its_example_is_refused(bundle: Bundle) -> None:
    broken = replace(bundle, model=replace(bundle.model, level=float("nan")))
    with pytest.raises(BundleError):
        try_out(broken)


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
