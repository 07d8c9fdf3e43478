"""Every training, search and backtest is an MLflow run, kept with its data and its evidence.

A verb opens a run, does its work in it, and writes down what it finds::

    with tracked_run("backtest", portfolio, name="backtest 2025-06") as run:
        run.features(bundle.model.spec)
        run.parameters({"folds": 5, "gap_months": 6})
        for number, fold in enumerate(folds):
            run.metrics({"r2": fold.r2, "mae": fold.mae}, step=number)
        run.table("folds", fold_table)
        run.text("report.html", page)
        run.describe(summary_in_markdown)

`step` is what a curve runs along in MLflow's pages: the number of a fold or of a trial, or a
vintage as 202406. A search logs its settings as parameters, the value of each trial under its
number, and at the end the best settings as a table. A run that raises is marked FAILED with its
error, one that is interrupted KILLED; the error goes on to the caller.
"""

import getpass
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from features.pipeline import formula_hash
from features.portfolio import Portfolio
from features.spec import FeatureSpec
from models.mlflow_store import Store
from models.registry import answering
from training.train import data_hash, git_commit, versions

# isort: split
# After `models.mlflow_store`, which sets what MLflow reads while it is imported.
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

Kind = Literal["train", "tune", "backtest"]
EXPERIMENT: Final = "npl-recovery"
# What MLflow takes at once, and at most as a digest, a value and an error's text.
_BATCH: Final = 100
_DIGEST: Final = 36
_LONGEST_VALUE: Final = 6000
_LONGEST_ERROR: Final = 4000
_LOCK: Final = Path(__file__).resolve().parents[1] / "requirements.lock"


class TrackedRun:
    """A run that is going on; made by `tracked_run`.

    Attributes
    ----------
    run_id : str
        MLflow's identifier of the run, for `models.registry.register`.
    store : Store
        Where it is kept.
    """

    def __init__(self, client: MlflowClient, store: Store, run_id: str) -> None:
        self.run_id = run_id
        self.store = store
        self._client = client

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Log what the run was given; nested mappings become names with dots.

        Raises
        ------
        ValueError
            When a value is longer than MLflow keeps: log it as a table or a text.
        """
        flat = dict(_flattened(values))
        long = [name for name, value in flat.items() if len(value) > _LONGEST_VALUE]
        if long:
            raise ValueError(
                f"parameters {', '.join(long)} are longer than {_LONGEST_VALUE} characters: log"
                " them as tables or texts"
            )
        params = [Param(name, value) for name, value in flat.items()]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(self.run_id, params=params[start : start + _BATCH])

    def metrics(self, values: Mapping[str, float | int | None], step: int = 0) -> None:
        """Log figures; None, an undefined figure, is left out.

        Parameters
        ----------
        values : mapping of str to float
            Figures by name. Names that share what stands before a `/` are shown together.
        step : int
            Fold, trial or vintage the figures are of.
        """
        now = int(datetime.now(UTC).timestamp() * 1000)
        known = {name: float(value) for name, value in values.items() if value is not None}
        metrics = [Metric(name, value, now, step) for name, value in known.items()]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _BATCH])

    def table(self, name: str, rows: pl.DataFrame) -> None:
        """Keep a table as `name`.csv, which MLflow's pages show as a table."""
        self._client.log_text(self.run_id, rows.write_csv(), f"{name}.csv")

    def text(self, name: str, text: str) -> None:
        """Keep a text, page or picture; the ending (.md, .html, .svg, .json) says which."""
        self._client.log_text(self.run_id, text, name)

    def folder(self, path: Path, name: str) -> None:
        """Keep all files of a folder under a name."""
        self._client.log_artifacts(self.run_id, str(path), name)

    def features(self, spec: FeatureSpec) -> None:
        """Tag the run with the features it used: hashes of their specification and formulas."""
        self.tags({"spec_hash": spec.hash, "formula_hash": formula_hash(spec)})

    def tags(self, values: Mapping[str, str]) -> None:
        """Tag the run, so that it is found by these values."""
        self._client.log_batch(self.run_id, tags=[RunTag(*pair) for pair in values.items()])

    def describe(self, markdown: str) -> None:
        """Set the description that heads the run's page."""
        self.tags({"mlflow.note.content": markdown})


@contextmanager
def tracked_run(
    kind: Kind,
    portfolio: Portfolio,
    *,
    store: Store | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[TrackedRun]:
    """Keep what is done in the block as one MLflow run.

    Parameters
    ----------
    kind : {"train", "tune", "backtest"}
        What is done; a tag of the run.
    portfolio : Portfolio
        On which data. It must lie in a folder; its hash is the digest of the run's dataset.
    store : Store, optional
        By default `models.mlflow_store.Store.of_environment`.
    name : str, optional
        By default kind, portfolio and time.
    tags : mapping of str to str, optional
        What the run can be found by from its first moment on; see `end_runs`.

    Raises
    ------
    StoreError
        When the store cannot be reached or written; before any work is done, where it is so then.
    """
    target = store or Store.of_environment()
    target.prepare()
    whole = data_hash(portfolio)
    with answering(target) as client:
        started = datetime.now(UTC)
        title = name or f"{kind} {portfolio.meta.name} {started:%Y-%m-%d %H:%M}"
        run_id = client.create_run(
            _experiment(client, target),
            start_time=int(started.timestamp() * 1000),
            run_name=title,
            tags=_origin(kind, portfolio, whole) | dict(tags or {}),
        ).info.run_id
        run = TrackedRun(client, target, run_id)
    try:
        with answering(target):
            client.log_inputs(run_id, [_dataset(kind, portfolio, whole)])
            run.text("environment.json", json.dumps(_environment(), indent=1))
            yield run
            client.set_terminated(run_id)
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        # The error itself matters more than that it could not be written down.
        with suppress(MlflowException):
            run.tags({"error": f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]})
            client.set_terminated(run_id, status)
        raise


def end_runs(store: Store, tags: Mapping[str, str]) -> int:
    """Mark the runs with all these tags that still go on KILLED.

    The caller knows that whoever did their work is dead. A run that a registered version names
    stays as it is: its work was done.

    Parameters
    ----------
    store : Store
        Where the runs are kept.
    tags : mapping of str to str
        As given to `tracked_run`.

    Returns
    -------
    int
        Runs that were marked.

    Raises
    ------
    StoreError
        When the store cannot be reached or written.
    """
    # An embedded store that was never written has no runs.
    if store.file is not None and not store.file.is_file():
        return 0
    with answering(store) as client:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return 0
        wanted = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        wanted.append("attributes.status = 'RUNNING'")
        left = [
            run.info.run_id
            for run in client.search_runs([experiment.experiment_id], " and ".join(wanted))
            if not client.search_model_versions(f"run_id = '{run.info.run_id}'", max_results=1)
        ]
        for run_id in left:
            client.log_batch(run_id, tags=[RunTag("error", "killed before it was written down")])
            client.set_terminated(run_id, "KILLED")
        return len(left)


def fetch_folder(store: Store, run_id: str, name: str, into: Path) -> Path:
    """Copy a folder that a run keeps to this machine.

    Parameters
    ----------
    store : Store
        Where the run is kept.
    run_id : str
        MLflow's identifier of the run.
    name : str
        As given to `TrackedRun.folder`.
    into : Path
        An existing folder.

    Raises
    ------
    StoreError, RegistryError
        When the store, the run or the folder is not there.
    """
    store.require()
    with answering(store) as client:
        client.get_run(run_id)
        return Path(client.download_artifacts(run_id, name, str(into)))


def _experiment(client: MlflowClient, store: Store) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(EXPERIMENT, artifact_location=store.artifacts_uri))


def _origin(kind: Kind, portfolio: Portfolio, whole: str) -> dict[str, str]:
    commit = git_commit()
    tags = {
        "kind": kind,
        "portfolio": portfolio.meta.name,
        "source_system": portfolio.meta.source_system,
        "currency": portfolio.meta.currency,
        "known_on": portfolio.meta.observed_until_date.isoformat(),
        "data_hash": whole,
        "lock_hash": _lock_hash() or "unknown",
        "git_commit": commit or "unknown",
        # Names MLflow's own pages read.
        "mlflow.user": getpass.getuser(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": f"npl {kind}",
    }
    return tags if commit is None else tags | {"mlflow.source.git.commit": commit}


def _dataset(kind: Kind, portfolio: Portfolio, whole: str) -> DatasetInput:
    """The portfolio as MLflow keeps a dataset: MLflow cuts digests, the tag holds ours in full."""
    schema = portfolio.tape.collect_schema()
    columns = [{"type": str(dtype), "name": name} for name, dtype in schema.items()]
    return DatasetInput(
        Dataset(
            name=portfolio.meta.name,
            digest=whole[:_DIGEST],
            source_type="local",
            source=json.dumps({"uri": str(portfolio.path and portfolio.path.resolve())}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(
                {"num_rows": _rows(portfolio.tape), "ledger_rows": _rows(portfolio.ledger)}
            ),
        ),
        [
            InputTag("mlflow.data.context", "training" if kind != "backtest" else "evaluation"),
            InputTag("data_hash", whole),
        ],
    )


def _rows(table: pl.LazyFrame) -> int:
    return int(table.select(pl.len()).collect(engine="streaming").item())


def _environment() -> dict[str, Any]:
    return {
        "versions": versions() | {"mlflow": version("mlflow")},
        "platform": platform.platform(),
        "lock_hash": _lock_hash(),
    }


def _lock_hash() -> str | None:
    """SHA-256 of the lock the environment is made from; None outside a checkout."""
    return hashlib.sha256(_LOCK.read_bytes()).hexdigest() if _LOCK.is_file() else None


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)
