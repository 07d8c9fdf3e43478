"""Faults in the middle of a night: told, the champion safe, and the next run ends the night."""

import errno
import json
import os
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features.errors import PortfolioStoreError
from features.store import open_store
from models import registry
from models.bundle import MANIFEST, read_bundle
from models.errors import StoreError
from models.mlflow_store import Store
from models.reference import DEFAULT_NAME
from training.decision_log import add_decision
from training.night import DECISIONS, RESULT, Night
from training.night_journal import NightJournal
from training.night_settings import NightSettings
from training.tracking import tracked_run

# isort: split
# After `models.mlflow_store`, which sets what MLflow reads while it is imported.
from mlflow import MlflowClient

from tests.training.night_bank import Bank, retrain


@dataclass
class Fault:
    """What goes wrong as a step begins, until it is mended."""

    step: str
    error: type[Exception]
    match: str
    begin: Callable[[], Callable[[], None]]
    exit_code: int


def faults_of(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> list[Fault]:
    """One fault after the other, on the way through a night."""
    database = bank.mlflow.file
    assert database is not None

    def corrupt_parquet() -> Callable[[], None]:
        file = next((bank.folder / "commits" / "000000" / "ledger").glob("*.parquet"))
        sound = file.read_bytes()
        file.write_bytes(sound[: len(sound) // 2])

        def mend() -> None:
            file.write_bytes(sound)

        return mend

    def disk_full(name: str) -> Callable[[], Callable[[], None]]:
        def begin() -> Callable[[], None]:
            write_text = Path.write_text

            def full(self: Path, *arguments: Any, **options: Any) -> int:
                if self.name == name:
                    write_text(self, "half")
                    raise OSError(errno.ENOSPC, "No space left on device", str(self))
                return write_text(self, *arguments, **options)

            monkeypatch.setattr(Path, "write_text", full)
            return lambda: monkeypatch.setattr(Path, "write_text", write_text)

        return begin

    def record_full() -> Callable[[], None]:
        pwrite = os.pwrite

        def full(descriptor: int, line: bytes, place: int) -> int:
            pwrite(descriptor, line[: len(line) // 2], place)
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        return lambda: monkeypatch.setattr(os, "pwrite", pwrite)

    def database_gone() -> Callable[[], None]:
        aside = database.with_suffix(".moved")
        database.rename(aside)

        def mend() -> None:
            aside.rename(database)

        return mend

    def database_locked() -> Callable[[], None]:
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        return other.close

    space = "No space left on device"
    return [
        Fault("1-changes", PortfolioStoreError, "altered since it was", corrupt_parquet, 3),
        Fault("5-train", OSError, space, disk_full(MANIFEST), 3),
        Fault("6-gate", StoreError, "no runs or models are kept there", database_gone, 4),
        Fault("6-gate", OSError, space, disk_full(".aside-6-gate.json"), 3),
        Fault("7-register", StoreError, "database is locked", database_locked, 4),
        Fault("9-decide", OSError, space, record_full, 3),
        Fault("10-report", OSError, space, disk_full(".aside-report.md"), 3),
    ]


def test_a_night_that_meets_fault_after_fault_comes_to_the_same(
    done: tuple[Bank, dict[str, Any]], bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_bank, whole = done
    for fault in faults_of(bank, monkeypatch):
        mend: list[Callable[[], None]] = []

        def tell(step: str, fault: Fault = fault, mend: list[Callable[[], None]] = mend) -> None:
            if step == fault.step:
                mend.append(fault.begin())

        with pytest.raises(fault.error, match=fault.match):
            bank.night(forced=True, tell=tell)
        mend[0]()
        assert bank.champion in (1, whole["champion_version"])
        folder = bank.folder / "nights" / whole["night"]
        for file in folder.glob("[0-9]*.json"):
            json.loads(file.read_text(encoding="utf-8"))
        assert not (folder / f"{fault.step}.json").exists()
        assert not (folder / "report.md").exists()
        if (folder / "bundle").exists():
            read_bundle(folder / "bundle")
    # As a kill leaves it.
    (folder / ".bundle.abc").mkdir()
    result = bank.night(forced=True)
    assert result | {"report": ""} == whole | {"report": ""}
    assert bank.versions == whole_bank.versions
    assert not list(folder.glob(".*"))


def test_faults_end_the_verb_with_its_exit_code(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = ("--store", bank.folder)
    # A store that had a champion does not take a lost registry for a beginning.
    add_decision(
        bank.folder / DECISIONS,
        {"id": "earlier", "model": DEFAULT_NAME, "outcome": "first_champion"},
    )
    for fault in faults_of(bank, monkeypatch):
        if fault.step == "1-changes" or fault.error is StoreError:
            mend = fault.begin()
            assert retrain(monkeypatch, bank, *store) == fault.exit_code
            mend()
            assert re.search(f"npl: .*{fault.match}", capsys.readouterr().err, re.DOTALL)
    assert bank.mlflow.file is not None
    bank.mlflow.file.write_bytes(b"no database")
    assert retrain(monkeypatch, bank, *store) == 4
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = Bank(bank.folder, Store("http://127.0.0.1:9", None))
    assert retrain(monkeypatch, nowhere, *store) == 4
    assert "http://127.0.0.1:9" in capsys.readouterr().err
    assert retrain(monkeypatch, bank, "--store", tmp_path / "none") == 3


def test_runs_of_dead_nights_are_ended(bank: Bank, founded: Path) -> None:
    # Of an earlier state of the store: a night that will never be done again.
    left_behind = Night(
        open_store(bank.folder).at(0), bank.mlflow, DEFAULT_NAME, NightSettings(), None, True, print
    )
    portfolio, tags = open_store(bank.folder).portfolio(), left_behind.tags
    with tracked_run("tune", portfolio, store=bank.mlflow, tags=tags) as done:
        pass
    with tracked_run("train", portfolio, store=bank.mlflow, tags=tags) as left:
        pass
    with tracked_run("train", portfolio, store=bank.mlflow, tags=tags) as named:
        registry.register(bank.mlflow, founded / "bundle", named.run_id)
    with tracked_run("train", portfolio, store=bank.mlflow) as other:
        pass
    client = MlflowClient(bank.mlflow.uri)
    runs = {run.run_id: run for run in (done, left, named, other)}
    for run_id in (left.run_id, named.run_id, other.run_id):
        client.update_run(run_id, "RUNNING")

    def told() -> list[str]:
        return [client.get_run(run_id).info.status for run_id in runs]

    def stop(step: str) -> None:
        assert step == "1-changes"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bank.night(tell=stop)
    # Done, or at the bottom of a version, or no night's: not ended.
    assert told() == ["FINISHED", "KILLED", "RUNNING", "RUNNING"]
    client.update_run(left.run_id, "RUNNING")
    NightJournal(left_behind.own_folder).step(RESULT, dict)
    with pytest.raises(KeyboardInterrupt):
        bank.night(tell=stop)
    assert told() == ["FINISHED", "RUNNING", "RUNNING", "RUNNING"]
