"""The search for settings: an Optuna study that several workers share and that outlives a kill.

A study lies in a journal file, for the workers of one machine, or in a database, for those of many.
A trial whose worker died is found and queued again: in a journal by the lock its worker held, in a
database by the heartbeat it no longer gives.
"""

import fcntl
import math
import multiprocessing
import os
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from features.portfolio import FeatureGroup
from training.errors import TrainingError
from training.search_space import Dimension, Point, Range, settings_of
from training.settings import FitSettings
from training.trial_loss import FoldLoss, TrialFolds, forecast_fold, total_loss

# Two of four folds are seen before a trial is given up, and some trials before any is.
_WARM_UP_FOLDS: Final = 1
_WARM_UP_TRIALS: Final = 6
_HEARTBEAT_SECONDS: Final = 30
# A trial is claimed by its worker within this time of its start.
_CLAIM_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Problem:
    """What is searched, by plain values that can be handed to another process.

    Attributes
    ----------
    folds : TrialFolds
        What every trial is judged on.
    space : mapping of str to Dimension
        What is varied; see `training.search_space`.
    groups : tuple of str
        Factor groups of the features.
    standing : tuple of FoldLoss
        Losses, by fold, of the settings to be beaten.
    first : tuple of Point
        Points tried before any other.
    identity : mapping of str to str
        What the study belongs to, by name: hashes of data, specification and code.
    seed : int
        Seed of the sampler and of every fit.
    """

    folds: TrialFolds
    space: Mapping[str, Dimension]
    groups: tuple[FeatureGroup, ...]
    standing: tuple[FoldLoss, ...]
    first: tuple[Point, ...]
    identity: Mapping[str, str]
    seed: int


@dataclass(frozen=True)
class Budget:
    """When to stop.

    Attributes
    ----------
    trials : int, optional
        Trials of the study in all, over workers and resumed runs. A trial that was lost and queued
        again counts once. Two workers that begin at the same moment may begin one more.
    minutes : float, optional
        Wall-clock minutes of this run; a trial under way is finished.
    workers : int
        Processes that share the study.
    """

    trials: int | None = None
    minutes: float | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse a budget that never ends or never begins."""
        if self.trials is None and self.minutes is None:
            raise ValueError("a budget needs trials or minutes")
        for name in ("trials", "minutes", "workers"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, not {value}")


@dataclass(frozen=True)
class Trial:
    """One trial of a study, as plain values.

    Attributes
    ----------
    number : int
        Its number; of a trial that was lost and queued again, the first one's.
    state : str
        `complete`, `pruned`, or `waiting` where the budget ended before it.
    loss : float, optional
        `training.trial_loss.total_loss` over all folds; only of complete trials.
    settings : FitSettings
        What was fitted.
    folds : tuple of FoldLoss
        Losses by fold, as far as it came.
    seconds : float
        How long it took.
    attempts : int
        1, and one more for every worker that died over it.
    error : str
        Why the settings could not be fitted; empty where they could.
    """

    number: int
    state: str
    loss: float | None
    settings: FitSettings
    folds: tuple[FoldLoss, ...]
    seconds: float
    attempts: int
    error: str


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
    limits = _Limits(budget.trials, deadline, heartbeat_seconds)
    with _worker(problem, location, name, heartbeat_seconds) as own:
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
    if not _is_url(location) and not Path(location).exists():
        return
    storage, alive = _open(location, _HEARTBEAT_SECONDS)
    try:
        with suppress(KeyError):
            _refuse_other(optuna.load_study(study_name=name, storage=storage), identity)
    finally:
        _close(storage, alive)


def shown_location(location: str) -> str:
    """Location of a study without the password of a database."""
    return (
        make_url(location).render_as_string(hide_password=True) if _is_url(location) else location
    )


@dataclass(frozen=True)
class _Limits:
    trials: int | None
    deadline: float | None
    heartbeat_seconds: int

    def out_of_time(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline


class _SeededTPE(BaseSampler):
    """TPE with a seed for every trial: a resumed study draws nothing a second time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._number: int | None = None
        self._sampler = TPESampler(seed=seed)

    def _of(self, trial: FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            state = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)
            self._number, self._sampler = trial.number, TPESampler(seed=int(state[0]))
        return self._sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


class _Worker:
    """One process at work on a study."""

    def __init__(self, study: optuna.Study, problem: Problem, alive: "_Presence | None") -> None:
        self.study = study
        self._problem = problem
        self._alive = alive
        self._space = {name: _distribution(kind) for name, kind in problem.space.items()}

    def run(self, limits: _Limits, parent: int | None = None) -> None:
        """Try one point after another until the budget is spent and nothing is under way."""
        while not limits.out_of_time() and (parent is None or os.getppid() == parent):
            self._give_up_dead_trials()
            _queue_lost_trials(self.study)
            trials = self.study.get_trials(deepcopy=False)
            begun = len({_root(trial) for trial in trials})
            waiting = any(trial.state == TrialState.WAITING for trial in trials)
            if waiting or limits.trials is None or begun < limits.trials:
                self.study.optimize(self._objective, n_trials=1)
            elif any(trial.state == TrialState.RUNNING for trial in trials):
                # Should its worker die, the trial is ours to finish.
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _give_up_dead_trials(self) -> None:
        if self._alive is None:
            with _experimental():
                optuna.storages.fail_stale_trials(self.study)
            return
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._alive.is_dead(trial):
                # Another worker may have seen it first.
                with suppress(UpdateFinishedTrialError, ValueError):
                    self.study.tell(trial.number, state=TrialState.FAIL)

    def _objective(self, trial: optuna.Trial) -> float:
        if self._alive is not None:
            trial.set_user_attr("worker", self._alive.name)
        point = {name: _suggest(trial, name, kind) for name, kind in self._space.items()}
        settings = settings_of(point, self._problem.groups, self._problem.seed)
        losses: list[FoldLoss] = []
        for place in range(len(self._problem.folds)):
            try:
                losses.append(forecast_fold(self._problem.folds, place, settings).loss)
            except TrainingError as error:
                trial.set_user_attr("error", str(error))
                raise optuna.TrialPruned from error
            trial.set_user_attr("folds", [fold.as_row() for fold in losses])
            # Blocks differ in how hard they are: what counts is the loss beside the standing one's.
            behind = total_loss(losses) - total_loss(self._problem.standing[: place + 1])
            if not math.isfinite(behind):
                trial.set_user_attr("error", f"the loss of fold {place} is {behind}")
                raise optuna.TrialPruned
            trial.report(behind, place)
            if place + 1 < len(self._problem.folds) and trial.should_prune():
                raise optuna.TrialPruned
        return total_loss(losses)


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _distribution(dimension: Dimension) -> BaseDistribution:
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension)
    if isinstance(dimension.low, int) and isinstance(dimension.high, int):
        return IntDistribution(dimension.low, dimension.high, log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _begin(study: optuna.Study, problem: Problem) -> None:
    """Bind a new study to its data and queue the first points; refuse a study of something else."""
    _refuse_other(study, problem.identity)
    if "identity" not in study.user_attrs:
        study.set_user_attr("identity", dict(problem.identity))
        for point in problem.first:
            study.enqueue_trial(dict(point), skip_if_exists=True)


def _refuse_other(study: optuna.Study, identity: Mapping[str, str]) -> None:
    known = study.user_attrs.get("identity", identity)
    differing = [key for key, value in identity.items() if known.get(key) != value]
    if differing:
        raise TrainingError(
            f"study {study.study_name!r} was begun with another {', '.join(differing)}; give a new"
            " --study, or the portfolio, options and version it was begun with"
        )


def _queue_lost_trials(study: optuna.Study) -> None:
    """Queue every failed trial again that has not been; none is ever left out.

    The objective turns settings that cannot be fitted into a verdict; what fails is a process.
    """
    trials = study.get_trials(deepcopy=False)
    queued = {trial.user_attrs.get("retry_of_attempt") for trial in trials}
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.number not in queued:
            attributes = {"retry_of_attempt": trial.number, "retry_of": _root(trial)}
            study.enqueue_trial(trial.params, user_attrs=attributes)


def _root(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("retry_of", trial.number))


def _rows(study: optuna.Study, problem: Problem) -> list[Trial]:
    attempts: dict[int, list[FrozenTrial]] = {}
    for trial in study.get_trials(deepcopy=False):
        attempts.setdefault(_root(trial), []).append(trial)
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


# Where a study lies, and who is at work on it.


@contextmanager
def _worker(
    problem: Problem, location: str, name: str, heartbeat_seconds: int
) -> Iterator[_Worker]:
    storage, alive = _open(location, heartbeat_seconds)
    try:
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            load_if_exists=True,
            sampler=_SeededTPE(problem.seed),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_WARM_UP_TRIALS, n_warmup_steps=_WARM_UP_FOLDS
            ),
        )
        yield _Worker(study, problem, alive)
    finally:
        _close(storage, alive)


def _close(storage: BaseStorage, alive: "_Presence | None") -> None:
    if alive is not None:
        alive.leave()
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


def _open(location: str, heartbeat_seconds: int) -> "tuple[BaseStorage, _Presence | None]":
    if not _is_url(location):
        path = Path(location)
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(path)
        try:
            backend = JournalFileBackend(str(path), _JournalLock(path))
            return JournalStorage(backend), _Presence(path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path}: not the journal of a study ({error}); name another file"
            ) from error
    try:
        with _experimental():
            return RDBStorage(
                location,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=heartbeat_seconds,
            ), None
    except (SQLAlchemyError, ImportError, ValueError) as error:
        shown = str(error).strip().splitlines()[0]
        raise TrainingError(f"the study's database cannot be used: {shown}") from error


def _is_url(location: str) -> bool:
    return "://" in location


@contextmanager
def _experimental() -> Iterator[None]:
    # Heartbeats have been experimental in name since 2020; nothing else is muted.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line that a dying machine left half-written: nothing was told in it yet."""
    if not path.exists():
        return
    lock = _JournalLock(path)
    lock.acquire()
    try:
        with path.open("rb+") as file:
            text = file.read()
            if text and not text.endswith(b"\n"):
                file.truncate(text.rfind(b"\n") + 1)
    finally:
        lock.release()


class _JournalLock(JournalFileSymlinkLock):
    """A lock on the journal itself, freed by the system: Optuna's own outlives a kill by 30 s."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held: BinaryIO | None = None

    def acquire(self) -> bool:
        self._held = self._journal.open("rb")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


class _Presence:
    """A lock that a worker holds as long as it lives; the system frees it however it dies."""

    def __init__(self, journal: Path) -> None:
        self._stem = f"{journal.name}.worker-"
        self._folder = journal.parent
        self.name = uuid.uuid4().hex
        self._file = self._path(self.name).open("wb")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._stem}{name}"

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is gone."""
        name = trial.user_attrs.get("worker")
        if name is None:
            age = time.time() - trial.datetime_start.timestamp() if trial.datetime_start else 0.0
            return age > _CLAIM_SECONDS
        if name == self.name:
            # One trial at a time: what is under way is never asked about.
            return True
        try:
            with self._path(name).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        self._path(name).unlink(missing_ok=True)
        return True

    def leave(self) -> None:
        """Give the lock up at a good end."""
        self._path(self.name).unlink(missing_ok=True)
        self._file.close()


def _start_workers(
    count: int, work: tuple[Problem, str, str, _Limits]
) -> Sequence[multiprocessing.process.BaseProcess]:
    # Started afresh: a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    arguments = (*work, os.getpid())
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    return processes


def _work(problem: Problem, location: str, name: str, limits: _Limits, parent: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _worker(problem, location, name, limits.heartbeat_seconds) as worker:
        worker.run(limits, parent)
