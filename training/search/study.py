"""A study from beginning to end: bound to its data, worked on, told."""

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from training.errors import TrainingError
from training.search.problem import Budget, Problem, Trial
from training.search.store import is_url, open_store
from training.search.worker import Limits, queue_point, root_of, worker_on
from training.search_space import settings_of
from training.trial_loss import FoldLoss

_HEARTBEAT_SECONDS: Final = 30
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def search(
    problem: Problem,
    location: str,
    name: str,
    budget: Budget,
    heartbeat_seconds: int = _HEARTBEAT_SECONDS,
) -> list[Trial]:
    """Run a study, or take up an unfinished one, until its budget is spent.

    TPE (Bergstra et al. 2011), seeded anew for each trial by its number, so that one worker finds
    the same with or without a pause. Trials behind the median of the complete ones after two folds
    or more are given up.

    Parameters
    ----------
    problem : Problem
        What is searched.
    location : str
        Path of a journal file, or URL of a database (`sqlite:///...`, `postgresql://...`).
    name : str
        Name of the study there.
    budget : Budget
        When to stop.
    heartbeat_seconds : int
        In a database: a worker is dead when it has been silent for twice as long.

    Returns
    -------
    list of Trial
        By number.

    Raises
    ------
    TrainingError
        When the study cannot be opened, or was begun on other data, features or code.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = None if budget.minutes is None else time.time() + 60 * budget.minutes
    limits = Limits(budget.trials, deadline, heartbeat_seconds)
    with worker_on(problem, location, name, heartbeat_seconds) as own:
        _begin(own.study, problem)
        others = _start_workers(budget.workers - 1, (problem, location, name, limits))
        own.run(limits)
        for process in others:
            process.join()
        failed = [process.exitcode for process in others if (process.exitcode or 0) > 0]
        if failed:
            raise TrainingError(
                f"{len(failed)} of {budget.workers} workers ended with an error, told above; the"
                " study keeps its trials: mend the cause and give the same command again"
            )
        return _rows(own.study, problem)


def refuse_other_study(location: str, name: str, identity: Mapping[str, str]) -> None:
    """Refuse a study that was begun on something else, before any time is spent on it.

    Raises
    ------
    TrainingError
        Naming what differs; or when the study cannot be opened.
    """
    if not is_url(location) and not Path(location).exists():
        return
    store = open_store(location, _HEARTBEAT_SECONDS)
    try:
        with suppress(KeyError):
            _refuse_other(optuna.load_study(study_name=name, storage=store.storage), identity)
    finally:
        store.close()


def _begin(study: optuna.Study, problem: Problem) -> None:
    """Bind a new study to its data and queue the first points; refuse a study of something else."""
    _refuse_other(study, problem.identity)
    if "identity" not in study.user_attrs:
        study.set_user_attr("identity", dict(problem.identity))
        for point in problem.first:
            queue_point(study, point)


def _refuse_other(study: optuna.Study, identity: Mapping[str, str]) -> None:
    known = study.user_attrs.get("identity", identity)
    differing = [key for key, value in identity.items() if known.get(key) != value]
    if differing:
        raise TrainingError(
            f"study {study.study_name!r} was begun with another {', '.join(differing)}; give a new"
            " --study, or the portfolio, options and version it was begun with"
        )


def _rows(study: optuna.Study, problem: Problem) -> list[Trial]:
    attempts: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        attempts.setdefault(root_of(trial), []).append(trial)
    rows = []
    for number, of_one in sorted(attempts.items()):
        fullest = max(of_one, key=lambda trial: len(trial.params))
        last = next((trial for trial in of_one if trial.state in _FINISHED), fullest)
        if last.state not in _FINISHED and len(last.params) < len(problem.space):
            # Queued and never begun: there is nothing to tell but that it waits.
            continue
        folds = tuple(FoldLoss(**row) for row in last.user_attrs.get("folds", ()))
        started, ended = last.datetime_start, last.datetime_complete
        rows.append(
            Trial(
                number=number,
                state=last.state.name.lower() if last.state in _FINISHED else "waiting",
                loss=last.value if last.state == TrialState.COMPLETE else None,
                settings=settings_of(last.params, problem.groups, problem.seed),
                folds=folds,
                seconds=(ended - started).total_seconds() if started and ended else 0.0,
                attempts=len(of_one),
                error=last.user_attrs.get("error", ""),
            )
        )
    return rows


def _start_workers(
    count: int, work: tuple[Problem, str, str, Limits]
) -> Sequence[multiprocessing.process.BaseProcess]:
    # Started afresh: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    arguments = (*work, os.getpid())
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def _work(problem: Problem, location: str, name: str, limits: Limits, parent: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with worker_on(problem, location, name, limits.heartbeat_seconds) as worker:
        worker.run(limits, parent)
