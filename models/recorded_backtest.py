"""The latest backtest of a model that MLflow keeps."""

import tempfile
from pathlib import Path

from models.backtest_files import FOLDER, MODEL
from models.errors import RegistryError, StoreError
from models.mlflow_store import Store
from models.registry import answering


def recorded_file(store: Store, bundle_version: str, name: str) -> bytes | None:
    """A file of the latest backtest of a bundle that ran to its end; None where there is none.

    Parameters
    ----------
    store : Store
        MLflow's store of runs.
    bundle_version : str
        The bundle's; see `models.bundle.Bundle.version`.
    name : str
        One of `models.backtest_files`.

    Raises
    ------
    StoreError
        As `models.registry.answering`; also when the run's files are gone.
    """
    store.require()
    with answering(store) as client:
        runs = client.search_runs(
            [experiment.experiment_id for experiment in client.search_experiments()],
            f"tags.kind = '{FOLDER}' AND tags.{MODEL} = '{bundle_version}'"
            " AND attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    if not runs:
        return None
    run_id = runs[0].info.run_id
    try:
        with answering(store) as client, tempfile.TemporaryDirectory() as scratch:
            found = client.download_artifacts(run_id, f"{FOLDER}/{name}", scratch)
            return Path(found).read_bytes()
    # Of files in a folder MLflow lets through what the system tells.
    except (OSError, RegistryError) as error:
        raise StoreError(
            f"MLflow store {store.shown}: {name} of the backtest, run {run_id}, is gone or cannot"
            " be read; make the backtest again"
        ) from error
