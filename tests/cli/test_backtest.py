"""`npl backtest` from a portfolio to the report on disk, and two runs side by side."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from models.backtest_files import file_of_folder
from models.bundle import read_bundle
from models.mlflow_store import Store
from models.recorded_backtest import recorded_file
from models.registry import answering
from tests.cli.conftest import Npl
from training import settings
from training.backtest_schema import read_backtest
from training.tracking import EXPERIMENT


@pytest.fixture
def quick_trees() -> Iterator[None]:
    presets = dict(settings.PRESETS)
    settings.PRESETS.update(
        {name: replace(tree, rounds=5, bags=1) for name, tree in presets.items()}
    )
    yield
    settings.PRESETS.update(presets)


def test_a_backtest_leaves_its_report_and_compares_with_itself(
    npl: Npl, store: Store, trained: tuple[Path, Path], tmp_path: Path, quick_trees: None
) -> None:
    portfolio, bundle = trained
    out = tmp_path / "run"
    ran = npl("backtest", portfolio, "--model", bundle, "--out", out, "--lang", "en", "--json")
    assert ran.code == 0, ran.err
    document = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert ran.document["summary"] == document["summary"]
    assert ran.document["judged_loans"] == document["data"]["judged_loans"]
    assert document["reproduction"]["command"].endswith(f"--out {out} --lang en")
    assert '<html lang="en">' in (out / "report.html").read_text(encoding="utf-8")
    assert (out / "report.xlsx").is_file()

    # The run keeps what was written: compared by its identifier, it is the same.
    with answering(store) as client:
        (experiment,) = [e for e in client.search_experiments() if e.name == EXPERIMENT]
        (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["kind"] == "backtest"
    # By the model it judged it is found too, in the run and in the folder.
    version = read_bundle(bundle).version
    for name in ("report.html", "report.json", "report.xlsx"):
        written = (out / name).read_bytes()
        assert recorded_file(store, version, name) == written
        assert file_of_folder(out, version, name) == written
    assert recorded_file(store, "f" * 16, "report.html") is None
    assert run.data.metrics["deviation"] == pytest.approx(ran.document["deviation_rate"])
    moved = npl("backtest", "--compare", out, run.info.run_id, "--json")
    assert moved.code == 0, moved.err
    assert {gain["gain"] for gain in moved.document["gains"].values()} == {0.0}
    told = npl("backtest", "--compare", out, out)
    assert "within noise" in told.out


def test_a_backtest_needs_a_portfolio_and_a_folder(npl: Npl, tmp_path: Path) -> None:
    assert npl("backtest").code == 2
    ran = npl("backtest", "--compare", tmp_path, tmp_path)
    assert ran.code == 3
    assert "report.json" in ran.err


def test_a_backtest_is_written_whole_and_says_how_it_was_made(
    npl: Npl, store: Store, tmp_path: Path, quick_trees: None
) -> None:
    npl("simulate", "--loans", 700, "--seed", 3, "--out", tmp_path / "p")
    out = tmp_path / "backtest"
    done = npl("backtest", tmp_path / "p", "--out", out, "--json")
    assert done.code == 0
    told = done.document
    assert told["command"] == f"npl backtest {tmp_path / 'p'} --out {out} --lang zh"
    assert len(told["data_hash"]) == 64
    assert told["chosen"][0]["newest_vintage"] == "today"
    funnel = pl.read_parquet(out / "funnel.parquet")
    assert funnel["loans"].sum() == 700
    table, _ = read_backtest(out / "backtest.parquet")
    judged = table.filter(pl.col("horizon_months") == told["horizon_months"]).drop_nulls(
        "actual_rate"
    )
    assert judged.height == told["judged_loans"]
    ead = judged["ead_amount"].to_numpy()
    expected, came = (float(ead @ judged[f"{n}_rate"].to_numpy()) for n in ("forecast", "actual"))
    assert told["forecast_amount"] == pytest.approx(expected, abs=0.01)
    assert told["deviation_rate"] == pytest.approx(came / expected - 1)


def test_a_folder_of_something_else_is_not_replaced(npl: Npl, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refused = npl("backtest", tmp_path / "p", "--out", tmp_path / "mine")
    assert refused.code == 3
    assert "is no backtest" in refused.err
