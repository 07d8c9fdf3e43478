"""`npl models`, and models by name in `npl score`; MLflow only where it is needed."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from features.portfolio import read_portfolio
from models import registry
from models.mlflow_store import Store
from tests.cli.conftest import Npl
from training.tracking import tracked_run


@pytest.fixture
def two_versions(store: Store, trained: tuple[Path, Path]) -> Store:
    portfolio, bundle = trained
    for _ in range(2):
        with tracked_run("train", read_portfolio(portfolio), store=store) as run:
            run.parameters({"seed": 7})
            registry.register(store, bundle, run.run_id)
    return store


def test_versions_are_listed_shown_promoted_and_rolled_back(npl: Npl, two_versions: Store) -> None:
    listed = npl("models", "list", "--json").document["versions"]
    assert [(v["version"], v["aliases"]) for v in listed] == [
        (2, ["challenger"]),
        (1, ["champion"]),
    ]
    shown = npl("models", "show", "challenger", "--json").document
    assert (shown["version"], shown["parameters"]) == (2, {"seed": "7"})
    back = npl("models", "list", "--data-hash", shown["data_hash"], "--json").document["versions"]
    assert [v["version"] for v in back] == [2, 1]
    for field in ("data_hash", "spec_hash", "run_id"):
        assert shown[field] in npl("models", "show", "2").out
    assert "version 2" in npl("models", "promote", "challenger").out
    assert npl("models", "rollback", "--json").document["version"] == 1
    assert "challenger" not in npl("models", "list").out
    refused = npl("models", "promote", "7")
    assert (refused.code, "npl models list" in refused.err) == (4, True)


def test_a_model_by_name_scores_like_its_folder(
    npl: Npl, trained: tuple[Path, Path], two_versions: Store, tmp_path: Path
) -> None:
    scores = []
    for model in (trained[1], "champion", "models:/npl-recovery/2"):
        out = tmp_path / "s.parquet"
        assert npl("score", trained[0], "--model", model, "--out", out).code == 0
        scores.append(pl.read_parquet(out))
    assert scores[0].equals(scores[1])
    assert scores[0].equals(scores[2])
    unclear = npl("score", trained[0], "--model", "models:/npl-recovery", "--out", out)
    assert (unclear.code, "models:/npl-recovery/3" in unclear.err) == (4, True)


def test_a_training_that_fails_is_a_failed_run(npl: Npl, store: Store, tmp_path: Path) -> None:
    assert npl("simulate", "--loans", 100, "--out", tmp_path / "p").code == 0
    ran = npl("train", tmp_path / "p", "--out", tmp_path / "b", "--held-out-from", "2022-01-01")
    assert ran.code == 3
    with registry.answering(store) as client:
        (experiment,) = client.search_experiments(filter_string="name = 'npl-recovery'")
        (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["error"].startswith("TrainingError: ")
    assert not (tmp_path / "b").exists()


WITHOUT_MLFLOW = """
import sys
from cli.main import main
for arguments in (["--help"], ["models", "--help"], sys.argv[1:]):
    sys.argv = ["npl", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, ended.code
    assert "mlflow" not in sys.modules, arguments
"""


def test_mlflow_is_loaded_only_where_it_is_needed(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = map(str, trained)
    score = ["score", portfolio, "--model", bundle, "--out", str(tmp_path / "s.csv")]
    subprocess.run([sys.executable, "-c", WITHOUT_MLFLOW, *score], check=True, timeout=60)


NO_CALL_HOME = """
import socket, sys, time
from pathlib import Path
calls = []
def connect(self, address):
    calls.append(address)
    raise OSError("no network here")
socket.socket.connect = connect
socket.getaddrinfo = lambda *place, **more: calls.append(place) or []
from features.portfolio import read_portfolio
from models import registry
from models.mlflow_store import Store
from training.tracking import tracked_run
with tracked_run("train", read_portfolio(Path(sys.argv[1]))) as run:
    registry.register(Store.of_environment(), Path(sys.argv[2]), run.run_id)
# MLflow reports from a thread of its own.
time.sleep(0.5)
assert not calls, calls
"""


def test_nothing_is_told_over_the_network(trained: tuple[Path, Path], store: Store) -> None:
    # MLflow keeps quiet under pytest and in CI of itself: that is not what is asked.
    hidden = {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "CI", "MLFLOW_DISABLE_TELEMETRY"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(
        [sys.executable, "-c", NO_CALL_HOME, *map(str, trained)],
        check=True,
        timeout=120,
        env=environment,
    )
