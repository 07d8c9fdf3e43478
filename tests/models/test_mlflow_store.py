"""Where the store is: the working directory by default, a file's own folder, or a server."""

from pathlib import Path

import pytest

from models.errors import StoreError
from models.mlflow_store import URI_VARIABLE, Store


def test_the_default_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(URI_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    store = Store.of_environment()
    assert store.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert store.artifacts_uri == f"file://{tmp_path}/mlruns/artifacts"
    with pytest.raises(StoreError, match=r"mlruns/mlflow\.db.*npl train"):
        store.require()
    assert not (tmp_path / "mlruns").exists()


def test_a_server_keeps_its_own_artifacts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URI_VARIABLE, "https://someone:secret@mlflow.bank.example")
    store = Store.of_environment()
    assert store == Store("https://someone:secret@mlflow.bank.example", None)
    assert store.shown == "https://someone:***@mlflow.bank.example"
    store.require()
