"""`npl tune` and `npl train --tuned`: killed and taken up, refused where it does not belong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.portfolio import read_portfolio, write_portfolio
from features.sources import lending_club
from models.bundle import read_bundle
from models.mlflow_store import URI_VARIABLE, Store
from models.registry import answering
from tests.cli.conftest import Npl
from tests.cli.test_commands import LENDING_CLUB
from training.tracking import EXPERIMENT
from training.train import data_hash
from training.trial_loss import LossGain

ROOT = Path(__file__).parents[2]
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TRIALS = 6
pytestmark = pytest.mark.usefixtures("store")


def _rows(loans: int) -> str:
    """Loans of five issue years, a few a month; grade and income tell part of what came back."""
    rows = []
    for number in range(loans):
        month = 60 * number // loans
        grade = number % 5
        recovered = 100 + 150 * grade + (number * 37) % 500
        rows.append(
            f'{1000 + number},10000,10000," 36 months","{8 + grade}.65%",325.0,{"ABCDE"[grade]},'
            f'{"ABCDE"[grade]}{1 + number % 5},3 years,RENT,"{30000 + 100 * (number % 97)}",'
            f"{MONTHS[month % 12]}-{2008 + month // 12},Charged Off,car,"
            f"{['CA', 'NY', 'TX'][number % 3]},{number % 30},{500 + 20 * (number % 9)},{recovered},"
            f"{recovered * 0.1:.2f}"
        )
    return LENDING_CLUB + "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undated portfolio of 500 loans, imported from a publisher's file."""
    folder = tmp_path_factory.mktemp("tune")
    _import(_rows(500), folder)
    return folder


def _import(rows: str, folder: Path) -> None:
    (folder / "LoanStats.csv").write_text(rows)
    result = lending_club.read(folder / "LoanStats.csv")
    write_portfolio(folder / "p", result.meta, result.tape, result.ledger)


def _npl(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from cli.main import main; main()", *map(str, arguments)]


def _tune(folder: Path, out: Path) -> list[str]:
    options = ["--trials", TRIALS, "--vintage-by", "origination_date", "--out", out]
    return _npl("tune", folder / "p", "--study", folder / "study.journal", *options)


def _journal(folder: Path) -> list[dict[str, Any]]:
    path = folder / "study.journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _begun(folder: Path) -> int:
    """Trials that have reported at least one fold and the trials before them that ended."""
    # Operation 7 of the journal is an intermediate value.
    return len({entry["trial_id"] for entry in _journal(folder) if entry["op_code"] == 7})


@pytest.fixture(scope="module")
def runs(folder: Path, empty_store: Path) -> Store:
    """Where the module's own `npl tune` keeps its runs."""
    kept = Store.in_folder(folder / "mlruns")
    kept.prepare()
    shutil.copyfile(empty_store, folder / "mlruns" / "mlflow.db")
    return kept


@pytest.fixture(scope="module")
def tuned(folder: Path, runs: Store) -> dict[str, Any]:
    """The outcome of a run that was killed in its third trial, and taken up."""
    out = folder / "tuned.json"
    env = os.environ | {URI_VARIABLE: runs.uri}
    process = subprocess.Popen(_tune(folder, out), cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while _begun(folder) < 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    again = subprocess.run(
        _tune(folder, out), check=True, cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert "1 attempts were cut short and made again" in again.stdout
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def test_a_killed_run_is_taken_up_and_loses_no_trial(tuned: dict[str, Any]) -> None:
    trials = tuned["trials"]
    # The one that was under way was made again under a number of its own, and counts once.
    assert [(trial["number"], trial["attempts"]) for trial in trials] == [
        *[(0, 1), (1, 1), (2, 2), (3, 1)],
        *[(5, 1), (6, 1)],
    ]
    assert {trial["state"] for trial in trials} <= {"complete", "pruned"}
    first = [trial["settings"]["linear_weight"] for trial in trials[:4]]
    assert sorted(first) == [0.0, 0.0, 0.5, 0.5]


def test_the_search_is_a_run_with_every_trial_and_the_file_it_wrote(
    folder: Path, runs: Store, tuned: dict[str, Any]
) -> None:
    with answering(runs) as client:
        (experiment,) = [e for e in client.search_experiments() if e.name == EXPERIMENT]
        (run,) = client.search_runs([experiment.experiment_id], "status = 'FINISHED'")
        losses = client.get_metric_history(run.info.run_id, "trial_loss")
    complete = {t["number"]: t["loss"] for t in tuned["trials"] if t["loss"] is not None}
    assert {metric.step: metric.value for metric in losses} == pytest.approx(complete)
    assert run.data.tags["kind"] == "tune"
    assert run.data.tags["data_hash"] == tuned["data_hash"]
    assert run.data.metrics["honest_loss"] == pytest.approx(tuned["honest_loss"])
    kept = folder / "mlruns" / "artifacts" / run.info.run_id / "artifacts"
    assert json.loads((kept / "tuned.json").read_text()) == tuned
    assert pl.read_csv(kept / "trials.csv")["trial"].to_list() == [
        trial["number"] for trial in tuned["trials"]
    ]


def test_the_simpler_settings_stand_unless_the_gain_is_beyond_noise(tuned: dict[str, Any]) -> None:
    beyond = LossGain(tuned["gain"], tuned["standard_error"], tuned["quarters"]).beyond_noise
    assert tuned["kept"] == ("tuned" if beyond else "untuned")
    assert tuned["settings"] == tuned["best" if beyond else "untuned"]
    assert tuned["gain"] == pytest.approx(tuned["untuned_loss"] - tuned["honest_loss"], abs=1e-12)
    losses = [trial["loss"] for trial in tuned["trials"] if trial["loss"] is not None]
    assert tuned["best_loss"] == pytest.approx(min(losses), abs=1e-12)
    assert tuned["honest_loss"] >= tuned["best_loss"]


def test_training_takes_the_tuned_settings_and_tells_where_from(
    npl: Npl, folder: Path, tuned: dict[str, Any], tmp_path: Path
) -> None:
    kept = ["borrower", "age", "exposure"]
    document = tuned | {"settings": tuned["best"] | {"groups": kept, "linear_weight": 0.25}}
    (tmp_path / "tuned.json").write_text(json.dumps(document))
    options = ["--vintage-by", "origination_date", "--tuned", tmp_path / "tuned.json"]
    ran = npl("train", folder / "p", "--out", tmp_path / "b", *options)
    assert ran.code == 0, ran.err
    bundle = read_bundle(tmp_path / "b")
    assert bundle.model.linear_weight == 0.25
    assert set(bundle.model.spec.groups) == set(kept)
    settings = bundle.provenance.settings
    assert settings["tree_settings"] == document["settings"]["trees"]
    assert settings["tuned"]["data_hash"] == bundle.provenance.data_hash
    assert settings["tuned"]["spec_hash"] == tuned["spec_hash"]
    out = tmp_path / "s.parquet"
    scored = npl("score", folder / "p", "--model", tmp_path / "b", "--out", out, "--explain")
    assert scored.code == 0, scored.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source_system": "elsewhere"}, "source_system 'elsewhere', not 'lending_club'"),
        ({"vintage_by": "cut_off_date"}, "vintage_by"),
        ({"held_out_from": "2099-01-01"}, "hold out from 2099-01-01 or later"),
        ({"best_loss": "x"}, "best_loss"),
    ],
)
def test_settings_of_another_portfolio_or_split_are_refused(
    npl: Npl, folder: Path, tuned: dict[str, Any], tmp_path: Path, change: dict[str, str], told: str
) -> None:
    (tmp_path / "tuned.json").write_text(json.dumps(tuned | change))
    options = ["--vintage-by", "origination_date", "--tuned", tmp_path / "tuned.json"]
    ran = npl("train", folder / "p", "--out", tmp_path / "b", *options)
    assert ran.code == 3
    assert told in ran.err.replace("\n", " ")
    assert not (tmp_path / "b").exists()


def test_a_study_of_other_data_is_refused(
    npl: Npl, folder: Path, tuned: dict[str, Any], tmp_path: Path
) -> None:
    _import(_rows(520), tmp_path)
    options = ["--vintage-by", "origination_date", "--out", tmp_path / "tuned.json"]
    ran = npl("tune", tmp_path / "p", "--study", folder / "study.journal", *options)
    assert ran.code == 3
    assert "begun with another data_hash" in ran.err
    assert data_hash(read_portfolio(folder / "p")) == tuned["data_hash"]
    assert not (tmp_path / "tuned.json").exists()


def test_no_worker_leaves_a_lock_behind(folder: Path, tuned: dict[str, Any]) -> None:
    assert tuned["study"] == str(folder / "study.journal")
    beside = sorted(path.name for path in folder.iterdir() if path.name.startswith("study"))
    assert beside == ["study.journal"]
