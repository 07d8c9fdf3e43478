"""The backtest of a model over HTTP: from its runs, or from a folder; or how to make one."""

import json
import shutil
from pathlib import Path

import httpx
import pytest

from features.portfolio import Portfolio
from models import registry
from models.backtest_files import (
    DOCUMENT,
    FOLDER,
    MODEL,
    PAGE,
    PROVENANCE,
    WORKBOOK,
    file_of_folder,
)
from models.bundle import Bundle
from models.errors import ModelsError
from models.mlflow_store import Store
from service.keys import create_key
from tests.service.conftest import XLSX, MakeService, running
from training.tracking import tracked_run


def a_backtest(folder: Path, version: str, told: str) -> Path:
    """Files under the names of a backtest; `tests/cli/test_backtest.py` has a true one."""
    folder.mkdir()
    (folder / PROVENANCE).write_text(json.dumps({MODEL: version}))
    (folder / PAGE).write_text(f"<html>{told}</html>")
    (folder / DOCUMENT).write_text(json.dumps({"told": told}))
    (folder / WORKBOOK).write_bytes(b"PK" + told.encode())
    return folder


def interrupted(store: Store, simulated: Portfolio, version: str) -> None:
    with tracked_run("backtest", simulated, store=store) as run:
        run.tags({MODEL: version})
        raise RuntimeError("interrupted")


@pytest.fixture
def registered(store: Store, bundle_folder: Path, simulated: Portfolio) -> Store:
    with tracked_run("train", simulated, store=store) as run:
        registry.register(store, bundle_folder, run.run_id)
    return store


def test_the_latest_finished_run_of_that_model_is_given(
    make_service: MakeService,
    registered: Store,
    bundle: Bundle,
    simulated: Portfolio,
    tmp_path: Path,
) -> None:
    # A folder is no backtest of a registered model.
    folder = a_backtest(tmp_path / "folder", bundle.version, "of a folder")
    service = make_service(
        model="champion", backtest=folder, champion_seconds=3600, workers_in_process=0
    )
    keys = {
        role: {"Authorization": f"Bearer {create_key(service.engine, role, role)[1]}"}
        for role in ("valuer", "reviewer")
    }
    path = f"/v1/models/{bundle.version}/backtest"
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.get(path, headers=keys["valuer"]).status_code == 403
        missing = client.get(path, headers=keys["reviewer"])
        assert missing.status_code == 404
        assert "npl backtest PORTFOLIO" in missing.json()["detail"]
        for number, (version, told) in enumerate(
            [(bundle.version, "old"), (bundle.version, "new"), ("f" * 16, "of another model")]
        ):
            with tracked_run("backtest", simulated, store=registered) as run:
                run.tags({MODEL: version})
                run.folder(a_backtest(tmp_path / str(number), version, told), FOLDER)
        with pytest.raises(RuntimeError, match="interrupted"):
            interrupted(registered, simulated, bundle.version)
        page = client.get(path, headers=keys["reviewer"])
        assert (page.status_code, page.text) == (200, "<html>new</html>")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        document = client.get(path, headers=keys["reviewer"], params={"format": "json"})
        assert document.json() == {"told": "new"}
        workbook = client.get(path, headers=keys["reviewer"], params={"format": "xlsx"})
        assert (workbook.content, workbook.headers["content-type"]) == (b"PKnew", XLSX)
        with registry.answering(registered) as mlflow:
            (run_of_it,) = mlflow.search_runs(
                [one.experiment_id for one in mlflow.search_experiments()],
                f"tags.{MODEL} = '{bundle.version}' AND attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        kept = Path(run_of_it.info.artifact_uri.removeprefix("file://"), FOLDER, PAGE)
        kept.unlink()
        gone = client.get(path, headers=keys["reviewer"])
        kept.mkdir()
        unreadable = client.get(path, headers=keys["reviewer"])
        for answer in (gone, unreadable):
            assert answer.status_code == 503
            assert "is gone or cannot be read" in answer.json()["detail"]
        for other in ("../../etc", "0" * 15, "x' OR 'a'='a"):
            answer = client.get(f"/v1/models/{other}/backtest", headers=keys["reviewer"])
            assert answer.status_code == 404


def test_a_folder_is_given_where_its_model_is_asked_for(
    make_service: MakeService, bundle: Bundle, tmp_path: Path
) -> None:
    folder = a_backtest(tmp_path / "b", bundle.version, "of a folder")
    service = make_service(backtest=folder, champion_seconds=3600, workers_in_process=0)
    headers = {"Authorization": f"Bearer {create_key(service.engine, 'a', 'operator')[1]}"}
    with (
        running(service) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        found = client.get(f"/v1/models/{bundle.version}/backtest")
        assert found.text == "<html>of a folder</html>"
        assert client.get(f"/v1/models/{'f' * 16}/backtest").status_code == 404
        (folder / PAGE).unlink()
        half = client.get(f"/v1/models/{bundle.version}/backtest")
        (folder / PROVENANCE).unlink()
        none = client.get(f"/v1/models/{bundle.version}/backtest")
    for answer in (half, none):
        assert answer.status_code == 503
        assert "the backtest cannot be read" in answer.json()["detail"]
        assert "no whole backtest there" in answer.json()["detail"]


def test_no_file_of_a_backtest_that_has_just_taken_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_backtest(tmp_path / "b", "a" * 16, "old")
    later = a_backtest(tmp_path / "later", "b" * 16, "new")
    read = Path.read_bytes

    def meanwhile(path: Path) -> bytes:
        shutil.copytree(later, folder, dirs_exist_ok=True)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", meanwhile)
    with pytest.raises(ModelsError, match="has just taken its place"):
        file_of_folder(folder, "a" * 16, PAGE)
