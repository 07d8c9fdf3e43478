"""One process at work on a study."""

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from training.errors import TrainingError
from training.search.problem import Problem
from training.search.store import Store, open_store
from training.search_space import Dimension, Point, Range, settings_of
from training.trial_loss import FoldLoss, forecast_fold, total_loss

# Two of four folds are seen before a trial is given up, and some trials before any is.
_WARM_UP_FOLDS: Final = 1
_WARM_UP_TRIALS: Final = 6
# A trial that its worker has not claimed for so long was lost before it began.
_CLAIM_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Limits:
    """A budget with its end in wall-clock seconds, the same for every worker."""

    trials: int | None
    deadline: float | None
    heartbeat_seconds: int

    def out_of_time(self) -> bool:
        """Whether no trial may begin any more."""
        return self.deadline is not None and time.time() >= self.deadline


@contextmanager
def worker_on(
    problem: Problem, location: str, name: str, heartbeat_seconds: int
) -> Iterator["Worker"]:
    """Open a study, or begin it, for a worker of this process."""
    store = open_store(location, heartbeat_seconds)
    try:
        study = optuna.create_study(
            storage=store.storage,
            study_name=name,
            load_if_exists=True,
            sampler=_SeededTPE(problem.seed),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_WARM_UP_TRIALS, n_warmup_steps=_WARM_UP_FOLDS
            ),
        )
        yield Worker(study, problem, store)
    finally:
        store.close()


class Worker:
    """One process at work on a study."""

    def __init__(self, study: optuna.Study, problem: Problem, store: Store) -> None:
        self.study = study
        self._problem = problem
        self._store = store
        self._unclaimed_since: dict[int, float] = {}
        self._space = {name: _distribution(kind) for name, kind in problem.space.items()}

    def run(self, limits: Limits, parent: int | None = None) -> None:
        """Try one point after another until the budget is spent and nothing is under way."""
        while not limits.out_of_time() and (parent is None or os.getppid() == parent):
            self._give_up_dead_trials()
            _queue_lost_trials(self.study)
            trials = self.study.get_trials(deepcopy=False)
            begun = len({root_of(trial) for trial in trials})
            waiting = any(trial.state == TrialState.WAITING for trial in trials)
            if waiting or limits.trials is None or begun < limits.trials:
                # Taken for dead, say after a machine slept, a trial is another's: ours is void.
                with suppress(UpdateFinishedTrialError):
                    self.study.optimize(self._objective, n_trials=1)
            elif any(trial.state == TrialState.RUNNING for trial in trials):
                # Should its worker die, the trial is ours to finish.
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _give_up_dead_trials(self) -> None:
        self._store.give_up_silent_trials(self.study)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(trial):
                # Another worker may have seen it first.
                with suppress(UpdateFinishedTrialError, ValueError):
                    self.study.tell(trial.number, state=TrialState.FAIL)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is not None:
            return self._store.is_gone(worker)
        # By our own clock: those of two machines differ.
        since = self._unclaimed_since.setdefault(trial.number, time.monotonic())
        return time.monotonic() - since > _CLAIM_SECONDS

    def _objective(self, trial: optuna.Trial) -> float:
        self._store.claim(self.study, trial)
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


def queue_point(study: optuna.Study, point: Point, **attributes: int) -> None:
    """Queue a point, or a part of one, to be tried; its worker may die before it reads it."""
    told = {"point": dict(point), **attributes}
    study.enqueue_trial(dict(point), user_attrs=told, skip_if_exists=not attributes)


def _queue_lost_trials(study: optuna.Study) -> None:
    """Queue every failed trial again that has not been; none is ever left out.

    The objective turns settings that cannot be fitted into a verdict; what fails is a process.
    """
    trials = study.get_trials(deepcopy=False)
    queued = {trial.user_attrs.get("retry_of_attempt") for trial in trials}
    for trial in trials:
        if trial.state == TrialState.FAIL and trial.number not in queued:
            point = trial.user_attrs.get("point", {}) | trial.params
            queue_point(study, point, retry_of_attempt=trial.number, retry_of=root_of(trial))


def root_of(trial: FrozenTrial) -> int:
    """Number of the first attempt at a trial."""
    return int(trial.user_attrs.get("retry_of", trial.number))


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
