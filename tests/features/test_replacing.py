"""An output takes the place of an older one of its kind, and of nothing else."""

from pathlib import Path

import pytest

from features.errors import PortfolioError
from features.replacing import replacing_file, replacing_folder

OWN = ("mark.toml", "part_*.txt")


def write(folder: Path, text: str) -> None:
    with replacing_folder(folder, OWN, "thing", PortfolioError) as aside:
        (aside / "mark.toml").write_text(text)


def test_an_older_output_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "o", "old")
    (tmp_path / "o" / "part_1.txt").write_text("gone with the old one")
    write(tmp_path / "o", "new")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["mark.toml"]
    assert (tmp_path / "o" / "mark.toml").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


@pytest.mark.parametrize("name", ["precious.csv", "mark.toml.bak"])
def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path / "o", "old")
    (tmp_path / "o" / name).write_text("mine")
    with pytest.raises(PortfolioError, match=name):
        write(tmp_path / "o", "new")
    assert (tmp_path / "o" / name).read_text() == "mine"
    assert (tmp_path / "o" / "mark.toml").read_text() == "old"


def test_a_failed_write_leaves_the_old_output(tmp_path: Path) -> None:
    write(tmp_path / "o", "old")

    def fail_halfway() -> None:
        with replacing_folder(tmp_path / "o", OWN, "thing", PortfolioError) as aside:
            (aside / "mark.toml").write_text("half")
            raise RuntimeError

    def fail_in_a_file() -> None:
        with replacing_file(tmp_path / "f.txt") as file:
            file.write_text("half")
            raise RuntimeError

    for fail in (fail_halfway, fail_in_a_file):
        with pytest.raises(RuntimeError):
            fail()
    assert (tmp_path / "o" / "mark.toml").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o"]
