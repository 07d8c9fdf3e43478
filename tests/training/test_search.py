"""The study: several workers, a kill, other data, the same again; in a journal and PostgreSQL."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from features.portfolio import FeatureGroup
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.search import Budget, Problem, Trial, search, shown_location, study, worker
from training.search_space import Range, point_of, search_space, settings_of
from training.settings import CANDIDATES, PRESETS, FitSettings
from training.trial_loss import forecast_fold, total_loss, trial_folds

MakeSet = Callable[..., TrainingSet]
ROOT = Path(__file__).parents[2]
# A machine may be busy with other things.
_PATIENCE_SECONDS = 300
GROUPS: tuple[FeatureGroup, ...] = ("age",)
# The shape of the true space, with fits of milliseconds.
QUICK = search_space(GROUPS, 200) | {"rounds": Range(2, 6), "bags": Range(1, 2)}
STANDING = FitSettings(replace(PRESETS["shallow"], rounds=5, bags=1), 0.5, link="logit")


@pytest.fixture(scope="module")
def problem(set_of: MakeSet) -> Problem:
    rng = np.random.default_rng(3)
    x, other = rng.normal(size=600), rng.normal(size=600)
    rate = np.clip(0.4 + 0.2 * np.sin(3 * x) + rng.normal(0, 0.1, 600), 0, 1)
    folds = trial_folds(set_of({"x": x, "other": other}, rate, days=np.arange(600) * 4))
    return Problem(
        folds=folds,
        space=QUICK,
        groups=GROUPS,
        standing=tuple(forecast_fold(folds, n, STANDING).loss for n in range(len(folds))),
        first=(point_of(STANDING, "logit", GROUPS),),
        identity={"data_hash": "one"},
        seed=STANDING.seed,
    )


def plain(trials: list[Trial]) -> list[Trial]:
    return [replace(trial, seconds=0.0, number=0) for trial in trials]


def test_one_worker_finds_the_same_again_and_after_a_pause(
    problem: Problem, tmp_path: Path
) -> None:
    whole = search(problem, str(tmp_path / "whole"), "s", Budget(12))
    assert [trial.number for trial in whole] == list(range(12))
    assert {trial.state for trial in whole} <= {"complete", "pruned"}
    first = search(problem, str(tmp_path / "parts"), "s", Budget(9))
    assert plain(first) == plain(whole[:9])
    assert plain(search(problem, str(tmp_path / "parts"), "s", Budget(12))) == plain(whole)
    # Past the random start as before it, no point is drawn twice.
    assert len({trial.settings for trial in whole}) == 12
    # A budget that is spent begins nothing.
    assert search(problem, str(tmp_path / "parts"), "s", Budget(12)) == search(
        problem, str(tmp_path / "parts"), "s", Budget(9)
    )


def test_the_untuned_settings_are_tried_first_and_judged_as_they_are(
    problem: Problem, tmp_path: Path
) -> None:
    (trial,) = search(problem, str(tmp_path / "j"), "s", Budget(1))
    assert trial.settings == STANDING
    assert trial.folds == problem.standing
    assert trial.loss == total_loss(problem.standing)


def test_bad_trials_are_given_up_early(problem: Problem, tmp_path: Path) -> None:
    trials = search(problem, str(tmp_path / "j"), "s", Budget(14))
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(2 <= len(trial.folds) < len(problem.folds) for trial in pruned)
    assert all(trial.loss is None for trial in pruned)
    complete = [trial.loss for trial in trials if trial.loss is not None]
    assert min(complete) < total_loss(problem.standing)


@pytest.fixture(params=["journal", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "journal":
        return str(tmp_path / "study.journal")
    url: str = request.getfixturevalue("postgresql_url")
    return url


def test_two_workers_share_one_study(problem: Problem, location: str) -> None:
    trials = search(problem, location, "two", Budget(6, workers=2))
    # Two that begin at the same moment may begin one more.
    assert len(trials) in (6, 7)
    assert all(trial.state in ("complete", "pruned") for trial in trials)
    assert all(trial.attempts == 1 for trial in trials)
    alone = {trial.settings: trial for trial in search(problem, location, "two", Budget(6))}
    assert len(alone) == len(trials)
    # Whoever tried a point, its loss is that of the point.
    for trial in trials[-2:]:
        losses = tuple(
            forecast_fold(problem.folds, n, trial.settings).loss for n in range(len(trial.folds))
        )
        assert losses == trial.folds


WORK = """
import pickle, sys
from pathlib import Path
from training.search import Budget, search
problem = pickle.loads(Path(sys.argv[1]).read_bytes())
search(problem, sys.argv[2], "killed", Budget(6), heartbeat_seconds=1)
"""


def test_a_killed_workers_trial_is_made_again(
    problem: Problem, location: str, tmp_path: Path
) -> None:
    # Trials slow enough to be caught in the middle of one.
    slow = replace(problem, space=QUICK | {"bags": Range(25, 30)})
    (tmp_path / "problem").write_bytes(pickle.dumps(slow))
    command = [sys.executable, "-c", WORK, str(tmp_path / "problem"), location]
    with subprocess.Popen(command, cwd=ROOT, env=_environment()) as process:
        try:
            done = _caught_after(3, process, location)
        finally:
            process.send_signal(signal.SIGKILL)
    assert 3 <= done < 6
    trials = search(slow, location, "killed", Budget(6), heartbeat_seconds=1)
    assert len(trials) == 6
    assert all(trial.state in ("complete", "pruned") for trial in trials)
    assert sorted(trial.attempts for trial in trials) == [1] * 5 + [2]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def _caught_after(least: int, process: "subprocess.Popen[bytes]", location: str) -> int:
    """Wait until a worker is in the middle of a trial, some trials on; trials begun by then."""
    until = time.monotonic() + _PATIENCE_SECONDS
    storage: optuna.storages.BaseStorage
    while "://" not in location and not Path(location).exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    storage = optuna.storages.RDBStorage(location) if "://" in location else journal_of(location)
    try:
        return _wait_for_trials(least, process, storage, until)
    finally:
        close(storage)


def _wait_for_trials(
    least: int,
    process: "subprocess.Popen[bytes]",
    storage: optuna.storages.BaseStorage,
    until: float,
) -> int:
    while True:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
        if _begun(storage) < least:
            continue
        # Held still, it can be seen to be inside a trial.
        process.send_signal(signal.SIGSTOP)
        if _begun(storage, optuna.trial.TrialState.RUNNING):
            return _begun(storage)
        process.send_signal(signal.SIGCONT)


def _begun(
    storage: optuna.storages.BaseStorage, state: optuna.trial.TrialState | None = None
) -> int:
    """Trials, in that state, that came as far as a fold."""
    try:
        killed = optuna.load_study(study_name="killed", storage=storage)
    except KeyError:
        return 0
    trials = killed.get_trials(states=None if state is None else (state,))
    return sum(bool(trial.intermediate_values) for trial in trials)


def test_a_trial_lost_before_its_worker_claimed_it_is_made_again(
    problem: Problem, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_CLAIM_SECONDS", 0.3)
    # As a worker that dies between being given the first trial and its first word.
    storage: optuna.storages.BaseStorage = (
        optuna.storages.RDBStorage(location) if "://" in location else journal_of(location)
    )
    begun = optuna.create_study(storage=storage, study_name="unclaimed")
    study._begin(begun, problem)
    begun.ask()
    close(storage)
    trials = search(problem, location, "unclaimed", Budget(3))
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert [trial.attempts for trial in trials] == [2, 1, 1]
    assert trials[0].settings == STANDING


def journal_of(location: str) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(location))


def close(storage: optuna.storages.BaseStorage) -> None:
    storage.remove_session()
    if isinstance(storage, optuna.storages.RDBStorage):
        storage.engine.dispose()


def test_a_torn_last_line_is_cut_off(problem: Problem, tmp_path: Path) -> None:
    journal = tmp_path / "j"
    before = search(problem, str(journal), "s", Budget(3))
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"work')
    after = search(problem, str(journal), "s", Budget(4))
    assert plain(after[:3]) == plain(before)


def test_a_study_of_something_else_is_refused(problem: Problem, tmp_path: Path) -> None:
    search(problem, str(tmp_path / "j"), "s", Budget(1))
    other = replace(problem, identity={"data_hash": "two"})
    with pytest.raises(TrainingError, match="begun with another data_hash"):
        search(other, str(tmp_path / "j"), "s", Budget(2))
    (tmp_path / "not").write_text("loan_id,rate\n1,2\n3,4\n")
    with pytest.raises(TrainingError, match="not the journal of a study"):
        search(problem, str(tmp_path / "not"), "s", Budget(1))
    with pytest.raises(TrainingError, match="cannot be used"):
        search(problem, "postgresql://nobody@127.0.0.1:1/none", "s", Budget(1))


def test_settings_that_cannot_be_fitted_are_a_verdict_not_a_crash(
    problem: Problem, tmp_path: Path
) -> None:
    # No portfolio has a feature of this group.
    broken = replace(problem, groups=("age", "legal"), space=QUICK | {"without_group": ("age",)})
    trials = search(broken, str(tmp_path / "j"), "s", Budget(3))
    told = [trial.error for trial in trials if trial.error]
    assert len(told) == 3
    assert "legal" in told[0]
    assert {trial.state for trial in trials} == {"pruned"}


def test_time_ends_a_run(problem: Problem, tmp_path: Path) -> None:
    began = time.monotonic()
    trials = search(problem, str(tmp_path / "j"), "s", Budget(minutes=0.02))
    assert 1.2 <= time.monotonic() - began < 20
    assert trials
    for bad in ({}, {"trials": 0}, {"minutes": -1.0}, {"trials": 1, "workers": 0}):
        with pytest.raises(ValueError, match=r"budget|above 0"):
            Budget(**bad)


def test_passwords_are_not_shown() -> None:
    shown = shown_location("postgresql://me:secret@host/db")
    assert "secret" not in shown
    assert shown_location("some/path") == "some/path"


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_point_stands_for_the_settings_it_came_from(candidate: FitSettings) -> None:
    groups: tuple[FeatureGroup, ...] = ("borrower", "age")
    point = point_of(candidate, "identity", groups)
    space = search_space(groups, 100)
    assert point.keys() == space.keys()
    for name, kind in space.items():
        if isinstance(kind, Range):
            assert kind.low <= float(point[name]) <= kind.high, name
        else:
            assert point[name] in kind, name
    again = settings_of(point, groups, candidate.seed)
    assert again == replace(candidate, trees=candidate.tree_settings, link="identity")
    left = settings_of(point | {"without_group": "age"}, groups, 1)
    assert left.groups == ("borrower",)
