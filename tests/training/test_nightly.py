"""Nights on a small store: same twice, whatever kills them, and the champion safe from faults."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.night_world import deliver
from features.errors import LockedError
from features.ingest import ingest
from features.locking import exclusive
from features.portfolio import Portfolio
from features.store import open_store
from models import registry
from models.bundle import read_bundle, write_bundle
from models.errors import RegistryError
from models.first_scores import TAG
from models.reference import DEFAULT_NAME, ModelReference
from training.approval import roll_back, settle
from training.decision_log import add_decision, read_decisions
from training.errors import TrainingError
from training.night import DECISIONS, LOCK_FILE
from training.night_again import repeat_night
from training.night_journal import NightJournal
from training.night_settings import NightSettings
from training.tracking import tracked_run

# isort: split
# After `models.mlflow_store`, which sets what MLflow reads while it is imported.

from tests.training.night_bank import NOW, THEN, Bank, retrain


def entry(bank: Bank, result: dict[str, Any], name: str) -> dict[str, Any]:
    path = bank.folder / "nights" / result["night"] / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_a_night_trains_judges_and_tells(done: tuple[Bank, dict[str, Any]]) -> None:
    bank, result = done
    assert result["outcome"] in {"refused", "promoted"}
    assert result["due"][0] == "forced"
    assert result["challenger_version"] == 2
    assert bank.champion == result["champion_version"]
    # Judged on June to August, which no model that is judged has seen.
    gate = entry(bank, result, "6-gate")
    assert {"comparison", "money", "segments", "parity"} < {c["name"] for c in gate["checks"]}
    assert not [c for c in gate["checks"] if c["verdict"] == "hold"]
    decided = read_decisions(bank.folder / DECISIONS)
    assert [(d["outcome"], d["version"]) for d in decided] == [(result["outcome"], 2)]
    report = Path(result["report"]).read_text(encoding="utf-8")
    assert "trial_months = 3" in report
    assert result["reason"] in report
    expected = registry.tag(bank.mlflow, ModelReference(DEFAULT_NAME, 2, None), TAG)
    assert expected is not None
    assert "residential_mortgage" in expected


def test_the_same_night_twice_changes_nothing(done: tuple[Bank, dict[str, Any]]) -> None:
    bank, result = done
    before, versions = bank.files, bank.versions
    assert bank.night(forced=True) == result
    assert bank.files == before
    assert bank.versions == versions


def test_a_night_killed_at_every_boundary_comes_to_the_same(
    done: tuple[Bank, dict[str, Any]], bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_bank, whole = done
    step = NightJournal.step
    killed: set[tuple[str, str]] = set()

    def dying(self: NightJournal, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        def once(when: str) -> None:
            # The work of training is long: it is killed after it alone, in the program below.
            if (name, when) not in killed and name != "5-train":
                killed.add((name, when))
                raise KeyboardInterrupt

        if (self.folder / f"{name}.json").exists():
            return step(self, name, work)

        def then_die() -> dict[str, Any]:
            found = work()
            once("after the work")
            return found

        once("before the work")
        return step(self, name, then_die)

    monkeypatch.setattr(NightJournal, "step", dying)
    result = None
    while result is None:
        try:
            result = bank.night(forced=True)
        except KeyboardInterrupt:
            assert bank.champion in (1, whole["champion_version"])
    assert len(killed) == 20
    assert result | {"report": ""} == whole | {"report": ""}
    # Beside the report, wherever the store lies.
    assert result["backtest_report"] in (None, "backtest/report.html")
    # Nothing doubled, and the same to the last bit but for what names a run or a time.
    assert bank.versions == whole_bank.versions
    assert len(read_decisions(bank.folder / DECISIONS)) == 1
    for name in ("2-drift", "6-gate"):
        assert entry(bank, result, name) == entry(whole_bank, whole, name)
    ours, theirs = (Path(r["report"]).read_text(encoding="utf-8") for r in (result, whole))
    assert ours == theirs


def test_a_night_on_which_nothing_is_due_leaves_the_registry_alone(bank: Bank) -> None:
    versions = bank.versions
    # The champion knows of the first night what the first night tells.
    shutil.rmtree(bank.folder / "commits" / "000001")
    result = bank.night()
    assert (result["outcome"], result["champion_version"]) == ("nothing_due", 1)
    assert bank.versions == versions
    assert not (bank.folder / DECISIONS).exists()


def test_a_past_night_comes_to_the_same_from_the_store_that_has_grown_since(
    done: tuple[Bank, dict[str, Any]],
    simulated: Portfolio,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank, result = done
    grown = Bank(tmp_path / "store", bank.mlflow)
    shutil.copytree(bank.folder, grown.folder)
    later = date(2024, 11, 30)
    delivery = deliver(simulated, later, tmp_path / "delivery")
    ingest(delivery, grown.folder, known_at=datetime(2024, 11, 30, 22, tzinfo=UTC))
    # A later delivery may tell known loans otherwise too; the champion may be another by now.
    assert open_store(grown.folder).last.number == 2
    before, versions = grown.files, grown.versions
    again = repeat_night(grown.folder, grown.mlflow, NightSettings(), NOW, forced=True)
    assert again == {
        "night": result["night"],
        "same": True,
        "differs": [],
        "bundle_version": result["bundle_version"],
        "outcome": result["outcome"],
    }
    assert (grown.files, grown.versions) == (before, versions)
    # Other code that comes to the same is no difference; a model that is another is one.
    monkeypatch.setattr("training.night_training.git_commit", lambda: "0" * 40)
    again = repeat_night(grown.folder, grown.mlflow, NightSettings(), NOW, forced=True)
    assert again["same"]
    assert again["bundle_version"] != result["bundle_version"]
    own = grown.folder / "nights" / result["night"] / "bundle"
    bundle = read_bundle(own)
    write_bundle(own, replace(bundle, model=replace(bundle.model, level=0.5)))
    again = repeat_night(grown.folder, grown.mlflow, NightSettings(), NOW, forced=True)
    assert again["differs"] == ["bundle"]
    with pytest.raises(TrainingError, match="no night of that day was done with these settings"):
        repeat_night(grown.folder, grown.mlflow, NightSettings(), NOW)


def test_a_past_night_that_comes_out_otherwise_says_so(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(bank.folder / "commits" / "000001")
    result = bank.night()
    options = ("--store", bank.folder, "--as-of", THEN.isoformat())
    assert retrain(monkeypatch, bank, *options) == 0
    assert retrain(monkeypatch, bank, *options, "--metrics", bank.folder / "night.prom") == 2
    path = bank.folder / "nights" / result["night"] / "2-drift.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(told | {"alarms": ["one"]}), encoding="utf-8")
    assert retrain(monkeypatch, bank, *options) == 8


def test_one_night_at_a_time(bank: Bank) -> None:
    with (
        exclusive(bank.folder / LOCK_FILE, "npl retrain"),
        pytest.raises(LockedError, match="is at work here"),
    ):
        bank.night()


def hold(bank: Bank, founded: Path) -> None:
    """Register the champion's bundle once more, and hold it."""
    portfolio = open_store(bank.folder).portfolio()
    with tracked_run("train", portfolio, store=bank.mlflow) as run:
        registry.register(bank.mlflow, founded / "bundle", run.run_id)
    add_decision(
        bank.folder / DECISIONS,
        {"id": "night", "outcome": "held", "model": DEFAULT_NAME, "version": 2},
    )


def test_what_was_held_is_approved_by_hand_and_rolled_back(bank: Bank, founded: Path) -> None:
    with pytest.raises(TrainingError, match="no challenger of npl-recovery is held"):
        settle(bank.folder, bank.mlflow, "approve", "Li", "reason")
    hold(bank, founded)
    with pytest.raises(TrainingError, match="neither --by nor --reason may be empty"):
        settle(bank.folder, bank.mlflow, "approve", "Li", " ")
    decision = settle(bank.folder, bank.mlflow, "approve", "Li", "the new field is sound")
    assert (decision["outcome"], decision["by"]) == ("approved", "Li")
    assert bank.champion == 2
    with pytest.raises(TrainingError, match="no challenger of npl-recovery is held"):
        settle(bank.folder, bank.mlflow, "approve", "Li", "again")
    assert roll_back(bank.folder, bank.mlflow, "Li", "complaints")["version"] == 1
    assert bank.champion == 1
    told = [d["outcome"] for d in read_decisions(bank.folder / DECISIONS)]
    assert told == ["held", "approved", "rolled_back"]
    with pytest.raises(RegistryError, match="has had no champion before"):
        roll_back(bank.folder, bank.mlflow, "Li", "once more")


def test_a_rejected_challenger_stays_one(bank: Bank, founded: Path) -> None:
    hold(bank, founded)
    assert settle(bank.folder, bank.mlflow, "reject", "Li", "no")["outcome"] == "rejected"
    assert bank.champion == 1
