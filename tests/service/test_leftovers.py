"""What killed processes leave is cleared away, and nothing that one alive may need."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service import queue
from service.incoming import LOCK, UNSETTLED, Incoming, UnsettledError
from service.leftovers import clear_attempts, sweep
from service.package_folder import PackageFolder
from service.settings import Settings
from service.storage import PACKAGES, open_database, writing


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    found = open_database(Settings(model="m", data_folder=tmp_path))
    yield found
    found.dispose()


def package(engine: sa.Engine, folder: Path, state: str, attempt: int) -> PackageFolder:
    values: dict[str, Any] = {
        "id": "a", "key_id": "k", "idempotency_key": None, "input_hash": "0",
        "input_format": ".parquet", "parameters": {}, "state": queue.QUEUED,
    }  # fmt: skip
    queue.add(engine, values)
    with writing(engine).begin() as connection:
        connection.execute(sa.update(PACKAGES).values(state=state, attempt=attempt))
    found = PackageFolder(folder, "a")
    for number in (1, 2, 3):
        found.result(number).mkdir(parents=True)
        found.kept(number).mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("state", "left"),
    [
        (queue.RUNNING, [2, 3]),
        (queue.DONE, [2, 3]),
        (queue.QUEUED, [3]),
        (queue.FAILED, [3]),
        (queue.CANCELLED, [3]),
    ],
)
def test_attempts_that_cannot_win_are_deleted(
    engine: sa.Engine, tmp_path: Path, state: str, left: list[int]
) -> None:
    # The row tells of attempt 2; a third may have begun since it was read.
    folder = package(engine, tmp_path, state, 2)
    clear_attempts(engine, folder)
    assert sorted(folder.attempts()) == left
    assert all(len(paths) == 2 for paths in folder.attempts().values())


def test_uploads_of_the_dead_are_deleted_but_not_packages_that_were_taken_in(
    engine: sa.Engine, tmp_path: Path
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from service.incoming import Incoming;"
        "made = Incoming.opened(Path(sys.argv[1]));"
        "held = [made.place(name) for name in ('a', 'b')];"
        "[place.__enter__() for place in held]; os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 9
    taken_in = package(engine, tmp_path, queue.DONE, 3)
    refused = PackageFolder(tmp_path, "b")
    refused.path.mkdir()
    alive = Incoming.opened(tmp_path)
    with alive.place("c") as upload:
        other = PackageFolder(tmp_path, "c")
        other.path.mkdir()
        assert len(list((tmp_path / "incoming").glob(f"*{LOCK}"))) == 2
        sweep(engine, tmp_path)
        assert upload.is_dir()
        assert other.path.is_dir()
    assert taken_in.result(3).is_dir()
    assert not refused.path.exists()
    alive.close()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_package_whose_commit_had_no_answer_is_settled_later(
    engine: sa.Engine, tmp_path: Path
) -> None:
    alive, lost = Incoming.opened(tmp_path), PackageFolder(tmp_path, "lost")
    lost.path.mkdir(parents=True)
    with pytest.raises(UnsettledError), alive.place("lost") as place:
        raise UnsettledError("no answer")
    sweep(engine, tmp_path)
    assert lost.path.is_dir()
    an_hour_ago = time.time() - 3_600
    os.utime(place / UNSETTLED, (an_hour_ago, an_hour_ago))
    sweep(engine, tmp_path)
    assert not lost.path.exists()
    assert not place.exists()
    alive.close()


def test_results_that_were_half_written_out_are_deleted(engine: sa.Engine, tmp_path: Path) -> None:
    folder = package(engine, tmp_path, queue.DONE, 3)
    old, fresh, whole = (folder.result(3) / name for name in (".a.csv", ".b.csv", "c.csv"))
    for path in (old, fresh, whole):
        path.touch()
    an_hour_ago = time.time() - 3_700
    for path in (old, whole):
        os.utime(path, (an_hour_ago, an_hour_ago))
    sweep(engine, tmp_path)
    assert sorted(path.name for path in folder.result(3).iterdir()) == [".b.csv", "c.csv"]
