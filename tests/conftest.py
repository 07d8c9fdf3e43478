"""What tests in more than one folder share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from features.check import check_portfolio
from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from models.mlflow_store import URI_VARIABLE, Store
from models.recovery import RecoveryModel
from tests.postgresql import postgresql_server
from training.dataset import TrainingSet, training_set
from training.fit import fit_recovery
from training.settings import FitSettings

ROOT = Path(__file__).parents[1]
# A busy machine is no fault of the code. What a pipeline's own profile says stays as it is.
hypothesis.settings.register_profile("unhurried", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def npl_data() -> Path:
    """Folder of the publishers' real files: NPL_DATA, or `shared/data` beside the checkout.

    Without the folder a test that needs it is skipped on a developer's machine and fails where CI
    is true, so that a pipeline cannot turn green by not looking.
    """
    folder = Path(os.environ.get("NPL_DATA") or ROOT.parent / "shared" / "data").resolve()
    if folder.is_dir():
        return folder
    reason = f"no folder of real files at {folder}: set NPL_DATA to the folder that holds them"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    """A checked portfolio of 2,000 simulated loans, the same in every run."""
    folder = tmp_path_factory.mktemp("simulated") / "portfolio"
    simulate(folder, loans=2_000, seed=7)
    return check_portfolio(read_portfolio(folder)).portfolio


@pytest.fixture(scope="session")
def training_data(simulated: Portfolio) -> TrainingSet:
    """Features and outcomes of the simulated loans."""
    return training_set(simulated)


@pytest.fixture(scope="session")
def dated_model(training_data: TrainingSet) -> RecoveryModel:
    """A model of the simulated loans' dated cash, with the default settings."""
    return fit_recovery(training_data, FitSettings())


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite file of an MLflow store without runs: its tables take seconds to make."""
    # Only tests that need MLflow wait for it.
    from models.registry import answering  # noqa: PLC0415

    store = Store.in_folder(tmp_path_factory.mktemp("store"))
    assert store.file is not None
    with answering(store) as client:
        client.search_experiments()
        client.search_registered_models()
    return store.file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An MLflow store of this test alone, also where the verbs look for one."""
    copy = Store.in_folder(tmp_path / "mlruns")
    copy.prepare()
    shutil.copyfile(empty_store, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.setenv(URI_VARIABLE, copy.uri)
    return copy


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """URL of an empty database on a PostgreSQL server of this test run's own."""
    with postgresql_server() as url:
        yield url
