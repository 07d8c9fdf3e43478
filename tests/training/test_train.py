"""Training from end to end: determinism, lineage, and the judged settings shipped."""

import hashlib
from pathlib import Path

import pytest

from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from models.bundle import read_bundle, write_bundle
from training import train as training
from training.selection import Choice
from training.settings import CANDIDATES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "p"
    simulate(folder, 1_500, 5)
    return folder


def test_training_twice_gives_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "git_commit", lambda: "0" * 40)
    # The choice has a test of its own; here it would only cost time.
    monkeypatch.setattr(training, "choose", lambda data: Choice(CANDIDATES[0], []))
    for name in ("first", "second"):
        write_bundle(tmp_path / name, training.train(read_portfolio(folder)).bundle)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert "manifest.json" in files
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    bundle = read_bundle(tmp_path / "first")
    assert bundle.accuracy[0]["model"] == "npl-recovery"
    assert bundle.provenance.settings["trees"] == CANDIDATES[0].trees


def test_the_data_hash_is_that_of_the_three_files(folder: Path) -> None:
    joined = b"".join(
        hashlib.sha256((folder / name).read_bytes()).digest()
        for name in ("tape.parquet", "ledger.parquet", "portfolio.toml")
    )
    expected = hashlib.sha256(joined).hexdigest()
    assert training.data_hash(read_portfolio(folder)) == expected
