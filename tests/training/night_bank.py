"""A small bank whose nights are tested: a store of two deliveries, and a champion of the first."""

import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.night_world import deliver
from cli.main import main
from features.ingest import ingest
from features.portfolio import Portfolio
from features.store import open_store
from models import registry
from models.bundle import Bundle, Provenance, write_bundle
from models.mlflow_store import URI_VARIABLE, Store
from models.reference import CHAMPION, DEFAULT_NAME, ModelReference
from training.dataset import training_set
from training.examples import with_typical_examples
from training.fit import fit_recovery
from training.night_settings import NightSettings
from training.nightly import run_night
from training.settings import FitSettings, TreeSettings
from training.tracking import tracked_run
from training.train import versions

# isort: split
# After `models.mlflow_store`, which sets what MLflow reads while it is imported.

THEN, NOW = date(2024, 5, 31), date(2024, 9, 30)
# A night fits a dozen models: what it does with them is the same for small ones.
FEW_TREES = TreeSettings(
    rounds=20,
    bags=1,
    learning_rate=0.1,
    max_depth=3,
    num_leaves=6,
    min_data_in_leaf=20,
    lambda_l2=20.0,
    feature_fraction=0.3,
)
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
    settings = FitSettings(FEW_TREES, 0.5)
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


def retrain(monkeypatch: pytest.MonkeyPatch, bank: Bank, *options: object) -> int:
    """Exit code of `npl retrain`."""
    monkeypatch.setenv(URI_VARIABLE, bank.mlflow.uri)
    monkeypatch.setattr(sys, "argv", ["npl", "retrain", *map(str, options)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
