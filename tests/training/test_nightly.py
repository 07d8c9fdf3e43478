"""Nights on a small store: same twice, whatever kills them, and the champion safe from faults."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.night_world import deliver
from features.errors import LockedError, PortfolioStoreError
from features.ingest import ingest
from features.locking import exclusive
from features.portfolio import Portfolio
from features.store import open_store
from models import registry
from models.bundle import Bundle, Provenance, write_bundle
from models.errors import RegistryError, StoreError
from models.first_scores import TAG
from models.mlflow_store import Store
from models.reference import CHAMPION, DEFAULT_NAME, ModelReference
from training.approval import roll_back, settle
from training.dataset import training_set
from training.decision_log import add_decision, read_decisions
from training.errors import TrainingError
from training.examples import with_typical_examples
from training.fit import fit_recovery
from training.night import DECISIONS, LOCK_FILE
from training.night_journal import NightJournal
from training.night_settings import NightSettings
from training.nightly import run_night
from training.settings import FitSettings
from training.tracking import tracked_run
from training.train import versions

THEN, NOW = date(2024, 5, 31), date(2024, 9, 30)
CHAMPION_ALIAS = ModelReference(DEFAULT_NAME, None, CHAMPION)


@dataclass(frozen=True)
class Bank:
    """A store of two nights, and a champion trained on the first."""

    folder: Path
    mlflow: Store

    def night(self, **options: Any) -> dict[str, Any]:
        return run_night(self.folder, self.mlflow, NightSettings(), **options)[0]

    @property
    def versions(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(v.version, v.aliases) for v in registry.versions(self.mlflow)]

    @property
    def champion(self) -> int:
        return registry.show(self.mlflow, CHAMPION_ALIAS).of.version

    @property
    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }


@pytest.fixture(scope="session")
def founded(
    simulated: Portfolio, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    for day in (THEN, NOW):
        delivery = deliver(simulated, day, folder / "delivery")
        moment = datetime(day.year, day.month, day.day, 22, tzinfo=UTC)
        ingest(delivery, folder / "store", known_at=moment)
    mlflow = Store.in_folder(folder / "mlruns")
    mlflow.prepare()
    shutil.copyfile(empty_store, folder / "mlruns" / "mlflow.db")
    portfolio = open_store(folder / "store").at(0).portfolio()
    settings = FitSettings("shallow", 0.5)
    provenance = Provenance(
        data_hash=portfolio.digest or "",
        git_commit=None,
        versions=versions(),
        known_on=THEN.isoformat(),
        settings=settings.as_document() | {"evidence": [], "vintage_by": "cut_off_date"},
    )
    model = fit_recovery(training_set(portfolio), settings)
    bundle = with_typical_examples(Bundle(model, portfolio.meta, provenance, []), portfolio)
    write_bundle(folder / "bundle", bundle)
    with tracked_run("train", portfolio, store=mlflow) as run:
        registry.register(mlflow, folder / "bundle", run.run_id)
    return folder


@pytest.fixture
def bank(founded: Path, tmp_path: Path) -> Bank:
    """A copy for one test; artifacts stay where the database says they are."""
    shutil.copytree(founded / "store", tmp_path / "store")
    (tmp_path / "mlruns").mkdir()
    shutil.copyfile(founded / "mlruns" / "mlflow.db", tmp_path / "mlruns" / "mlflow.db")
    return Bank(tmp_path / "store", Store.in_folder(tmp_path / "mlruns"))


@pytest.fixture(scope="session")
def done(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, dict[str, Any]]:
    """A forced night, done in one go."""
    folder = tmp_path_factory.mktemp("done")
    shutil.copytree(founded / "store", folder / "store")
    (folder / "mlruns").mkdir()
    shutil.copyfile(founded / "mlruns" / "mlflow.db", folder / "mlruns" / "mlflow.db")
    bank = Bank(folder / "store", Store.in_folder(folder / "mlruns"))
    return bank, bank.night(forced=True)


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
    gate = entry(bank, result, "5-gate")
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
            if (name, when) not in killed and name != "4-train":
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
    assert len(killed) == 16
    assert result | {"report": ""} == whole | {"report": ""}
    # Nothing doubled, and the same to the last bit but for what names a run or a time.
    assert bank.versions == whole_bank.versions
    assert len(read_decisions(bank.folder / DECISIONS)) == 1
    for name in ("2-drift", "5-gate"):
        assert entry(bank, result, name) == entry(whole_bank, whole, name)
    ours, theirs = (Path(r["report"]).read_text(encoding="utf-8") for r in (result, whole))
    assert ours == theirs


def test_a_night_on_which_nothing_is_due_leaves_the_registry_alone(bank: Bank) -> None:
    versions = bank.versions
    # The champion knows of the first night what the first night tells.
    result = bank.night(as_of=THEN)
    assert (result["outcome"], result["champion_version"]) == ("nothing_due", 1)
    assert bank.versions == versions
    assert not (bank.folder / DECISIONS).exists()


def test_one_night_at_a_time(bank: Bank) -> None:
    with (
        exclusive(bank.folder / LOCK_FILE, "npl retrain"),
        pytest.raises(LockedError, match="is at work here"),
    ):
        bank.night()


def test_faults_of_store_and_registry_are_told_and_leave_the_champion(
    bank: Bank, tmp_path: Path
) -> None:
    database = bank.mlflow.file
    assert database is not None
    before = database.read_bytes()
    file = next((bank.folder / "commits" / "000000" / "ledger").glob("*.parquet"))
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(PortfolioStoreError, match="altered since it was written"):
        bank.night()
    file.write_bytes(sound)
    assert database.read_bytes() == before
    # A store that had a champion does not take a lost registry for a beginning.
    add_decision(bank.folder / DECISIONS, {"id": "earlier", "outcome": "first_champion"})
    database.unlink()
    with pytest.raises(StoreError, match="no runs or models are kept there"):
        bank.night()
    database.write_bytes(b"no database")
    with pytest.raises(StoreError):
        bank.night()
    database.write_bytes(before)
    assert bank.champion == 1
    with pytest.raises(PortfolioStoreError, match="no portfolio store"):
        run_night(tmp_path / "none", bank.mlflow, NightSettings())


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
