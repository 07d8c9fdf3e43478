"""The latest backtest of a model that MLflow keeps."""

import tempfile
from pathlib import Path

from models.backtest_files import FOLDER, MODEL
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
    StoreError, RegistryError
        As `models.registry.answering`.
    """
    store.require()
    with answering(store) as client, tempfile.TemporaryDirectory() as scratch:
        runs = client.search_runs(
            [experiment.experiment_id for experiment in client.search_experiments()],
            f"tags.kind = '{FOLDER}' AND tags.{MODEL} = '{bundle_version}'"
            " AND attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
        if not runs:
            return None
        found = client.download_artifacts(runs[0].info.run_id, f"{FOLDER}/{name}", scratch)
        return Path(found).read_bytes()
