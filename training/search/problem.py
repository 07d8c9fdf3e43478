"""What is searched, until when, and what comes of it: plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

from features.portfolio import FeatureGroup
from training.search_space import Dimension, Point
from training.settings import FitSettings
from training.trial_loss import FoldLoss, TrialFolds


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
