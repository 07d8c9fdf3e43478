"""Runs as MLflow keeps them: what was done on which data, how it ended, and what it found."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import load_text

from features.portfolio import Portfolio
from models.errors import StoreError
from models.mlflow_store import Store
from training.tracking import EXPERIMENT, tracked_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(store: Store) -> MlflowClient:
    return MlflowClient(store.uri)


def test_a_run_tells_its_data_code_and_environment(
    store: Store, client: MlflowClient, simulated: Portfolio
) -> None:
    with tracked_run("backtest", simulated, name="b") as run:
        pass
    kept = client.get_run(run.run_id)
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "b")
    assert client.get_experiment(kept.info.experiment_id).name == EXPERIMENT
    folder = simulated.path
    assert folder is not None
    files = [folder / name for name in ("tape.parquet", "ledger.parquet", "portfolio.toml")]
    whole = hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files))
    assert kept.inputs is not None
    (used,) = kept.inputs.dataset_inputs
    # MLflow keeps 36 digits of a digest; the tags hold all.
    assert used.dataset.digest == whole.hexdigest()[:36]
    assert {tag.key: tag.value for tag in used.tags}["data_hash"] == whole.hexdigest()
    assert json.loads(used.dataset.profile or "")["num_rows"] == 2_000
    tags = kept.data.tags
    assert (tags["kind"], tags["data_hash"]) == ("backtest", whole.hexdigest())
    lock = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    assert tags["lock_hash"] == lock
    environment = json.loads(load_text(f"{kept.info.artifact_uri}/environment.json"))
    assert {"python", "lightgbm", "polars", "mlflow"} <= environment["versions"].keys()
    found = client.search_runs([kept.info.experiment_id], f"tags.data_hash = '{tags['data_hash']}'")
    assert [one.info.run_id for one in found] == [run.run_id]


def test_parameters_metrics_tables_and_texts_are_kept(
    store: Store, client: MlflowClient, simulated: Portfolio, tmp_path: Path
) -> None:
    table = pl.DataFrame({"fold": [0, 1], "r2": [0.25, None]})
    with tracked_run("tune", simulated) as run:
        run.parameters({"trees": {"max_depth": 8, "rate": 0.1}, "link": None})
        # More than MLflow takes at once.
        run.metrics({f"m{n}": n for n in range(150)})
        for fold, r2 in enumerate([0.25, 0.5, None]):
            run.metrics({"r2": r2}, step=fold)
        run.table("folds", table)
        run.text("page.html", "<p>回收率</p>")
        (tmp_path / "report").mkdir()
        (tmp_path / "report" / "a.txt").write_text("a")
        run.folder(tmp_path / "report", "report")
        run.describe("**good**")
    kept = client.get_run(run.run_id)
    assert kept.data.params == {"trees.max_depth": "8", "trees.rate": "0.1", "link": "None"}
    assert len(kept.data.metrics) == 151
    history = client.get_metric_history(run.run_id, "r2")
    assert [(point.step, point.value) for point in history] == [(0, 0.25), (1, 0.5)]
    assert kept.data.tags["mlflow.note.content"] == "**good**"
    place = kept.info.artifact_uri
    assert load_text(f"{place}/folds.csv") == "fold,r2\n0,0.25\n1,\n"
    assert load_text(f"{place}/page.html") == "<p>回收率</p>"
    assert load_text(f"{place}/report/a.txt") == "a"
    # Artifacts lie beside the store, not where the test was started.
    assert place.startswith((tmp_path / "mlruns" / "artifacts").as_uri())


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("fold 3 is empty"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_a_run_that_breaks_off_says_so(
    store: Store, client: MlflowClient, simulated: Portfolio, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), tracked_run("train", simulated) as run:
        raise error
    kept = client.get_run(run.run_id)
    assert kept.info.status == status
    assert kept.data.tags["error"] == f"{type(error).__name__}: {error}"


def test_a_parameter_is_not_cut(store: Store, simulated: Portfolio) -> None:
    with (
        pytest.raises(ValueError, match="evidence are longer than 6000"),
        tracked_run("train", simulated) as run,
    ):
        run.parameters({"evidence": "x" * 6001})


def test_a_store_that_cannot_be_reached_is_told_before_any_work(
    simulated: Portfolio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = Store("http://someone:secret@127.0.0.1:9", None)
    worked = False
    with (
        pytest.raises(StoreError, match=r"someone:\*\*\*@") as told,
        tracked_run("train", simulated, store=nowhere),
    ):
        worked = True
    assert not worked
    assert "secret" not in str(told.value)
