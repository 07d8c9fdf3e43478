"""Tuning from end to end: search inside the training vintages, keep the simpler, measure optimism.

The settings of the best trial are flattered by having been chosen for it. Two figures say by how
much. The honest loss takes on each fold the trial that was best on the others (after Tibshirani &
Tibshirani 2009, Annals of Applied Statistics 3(2)); it decides. The nested search, where asked for,
repeats the whole search before each of the last folds and judges it there; it is shown, and vetoes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from features.portfolio import Portfolio
from models.uncertainty import VintageBy
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.holdout import hold_out
from training.labels import labels_of
from training.search import (
    Budget,
    Problem,
    Trial,
    refuse_other_study,
    search,
    shown_location,
)
from training.search_space import point_of, search_space
from training.selection import choose
from training.settings import CANDIDATES, FitSettings
from training.train import data_hash, versions
from training.trial_loss import (
    FoldForecast,
    LossGain,
    TrialFolds,
    forecast_block,
    forecast_fold,
    loss_gain,
    total_loss,
    trial_folds,
)
from training.tuned import Kept, Nested, OuterFold, TrialRow, Tuned

_STUDY: Final = "npl-tune"
_CODE: Final = ("features", "models", "training")


@dataclass(frozen=True)
class Searched:
    """A search on one training set, and its verdict.

    Attributes
    ----------
    folds : TrialFolds
        What trials were judged on.
    trials : list of Trial
        All of them.
    best, untuned : FitSettings
        Settings of the best trial, and those chosen without a search.
    best_loss, untuned_loss, honest_loss : float
        Losses over all folds; see `training.tuned.Tuned`.
    gain : LossGain
        Gain of the honest loss over the untuned one.
    """

    folds: TrialFolds
    trials: list[Trial]
    best: FitSettings
    untuned: FitSettings
    best_loss: float
    untuned_loss: float
    honest_loss: float
    gain: LossGain


def kept(found: Searched, nested: Nested | None = None) -> Kept:
    """Which settings to train with: the simpler, unless the search gains more than noise.

    Nested searches whose best trials came out worse than the untuned settings veto this one's: they
    alone are judged on vintages later than all that their search saw.
    """
    harmful = nested is not None and nested.gain < 0
    return "tuned" if found.gain.beyond_noise and not harmful else "untuned"


def tune(
    portfolio: Portfolio,
    location: str,
    budget: Budget,
    *,
    start: date | None = None,
    vintage_by: VintageBy = "cut_off_date",
    nested: int = 0,
) -> Tuned:
    """Search for settings on the vintages before the held-out ones of `npl train`.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio that lies in a folder.
    location : str
        Where the study lies; see `training.search.search`.
    budget : Budget
        Trials of each search; minutes of all together.
    start : datetime.date, optional
        First held-out vintage; by default that of `training.holdout.hold_out`.
    vintage_by : {"cut_off_date", "origination_date"}
        What a vintage is dated by.
    nested : int
        Outer folds, each with a search of its own.

    Raises
    ------
    TrainingError
        When the vintages do not allow it, or the study belongs to something else.
    """
    data = hold_out(portfolio, start, vintage_by)
    hashes = {
        "data_hash": data_hash(portfolio),
        "spec_hash": data.train.spec.hash,
        "code_hash": code_hash(),
    }
    if nested:
        # Told before the time of a search is spent.
        _refuse_too_deep(trial_folds(data.train), nested)
    identity = hashes | {"held_out_from": data.start.isoformat(), "vintage_by": vintage_by}
    if budget.minutes is not None:
        budget = replace(budget, minutes=budget.minutes / (1 + nested))
    found = tune_on(data.train, location, budget, identity)
    inner = nest(found.folds, nested, location, budget, identity) if nested else None
    keep = kept(found, inner)
    meta = portfolio.meta
    return Tuned(
        source_system=meta.source_system,
        recovery_basis=meta.recovery_basis,
        recovery_timing=meta.recovery_timing,
        vintage_by=vintage_by,
        held_out_from=data.start.isoformat(),
        data_hash=hashes["data_hash"],
        spec_hash=hashes["spec_hash"],
        code_hash=hashes["code_hash"],
        study=shown_location(location),
        seed=found.untuned.seed,
        horizon_months=found.folds.horizon_months,
        gap_months=found.folds.gap_months,
        kept=keep,
        settings=found.best if keep == "tuned" else found.untuned,
        best=found.best,
        untuned=found.untuned,
        best_loss=found.best_loss,
        untuned_loss=found.untuned_loss,
        honest_loss=found.honest_loss,
        gain=found.gain.gain,
        standard_error=found.gain.standard_error,
        quarters=found.gain.quarters,
        trials=tuple(TrialRow(**vars(trial)) for trial in found.trials),
        nested=inner,
    )


def tune_on(
    data: TrainingSet,
    location: str,
    budget: Budget,
    identity: dict[str, Any],
    name: str = _STUDY,
) -> Searched:
    """Search on one training set; see `tune`.

    Raises
    ------
    TrainingError
        As `tune`; or when the budget ended before the untuned candidates were tried.
    """
    if budget.trials is not None and budget.trials < len(CANDIDATES):
        raise TrainingError(
            f"{budget.trials} trials do not even try the {len(CANDIDATES)} candidates that stand"
            " without a search; give more"
        )
    refuse_other_study(location, name, identity)
    folds = trial_folds(data)
    untuned = choose(data).settings
    standing = [forecast_fold(folds, place, untuned) for place in range(len(folds))]
    groups = data.spec.groups
    link = labels_of(data, untuned.half_life_years).link
    # The untuned ones first: what is searched can only be chosen over them.
    first = (untuned, *(candidate for candidate in CANDIDATES if candidate != untuned))
    problem = Problem(
        folds=folds,
        space=search_space(groups, min(train.features.height for train, _ in folds.folds)),
        groups=groups,
        standing=tuple(forecast.loss for forecast in standing),
        first=tuple(point_of(settings, link, groups) for settings in first),
        identity=identity,
        seed=untuned.seed,
    )
    trials = search(problem, location, name, budget)
    complete = [trial for trial in trials if trial.loss is not None]
    if len(complete) < len(CANDIDATES):
        raise TrainingError(
            f"the budget ended after {len(complete)} complete trials, {len(CANDIDATES)} are needed;"
            " give the same command again to go on"
        )
    best = min(complete, key=lambda trial: total_loss(trial.folds))
    honest = _honest(folds, complete)
    return Searched(
        folds=folds,
        trials=trials,
        best=best.settings,
        untuned=untuned,
        best_loss=total_loss(best.folds),
        untuned_loss=total_loss(problem.standing),
        honest_loss=total_loss([forecast.loss for forecast in honest]),
        gain=loss_gain(standing, honest),
    )


def _honest(folds: TrialFolds, complete: Sequence[Trial]) -> list[FoldForecast]:
    """Forecasts of each fold by the trial that was best on the others."""
    forecasts = []
    for place in range(len(folds)):
        chosen = min(
            complete, key=lambda trial: total_loss(trial.folds[:place] + trial.folds[place + 1 :])
        )
        forecasts.append(forecast_fold(folds, place, chosen.settings))
    return forecasts


def nest(
    folds: TrialFolds, count: int, location: str, budget: Budget, identity: dict[str, Any]
) -> Nested:
    """Measure the search's optimism: a search before each of the last folds, judged on its block.

    Parameters
    ----------
    folds : TrialFolds
        Folds of the search whose optimism is wanted; the last `count` are the outer ones.
    count : int
        Outer folds.
    location, budget, identity
        As in `tune_on`.

    Raises
    ------
    TrainingError
        When there are fewer folds, or the vintages before one do not allow a search.
    """
    _refuse_too_deep(folds, count)
    rows, untuned, tuned = [], [], []
    for place in range(len(folds) - count, len(folds)):
        earlier, block = folds.folds[place]
        found = tune_on(earlier, location, budget, identity, f"{_STUDY}-before-fold-{place}")

        def judged(
            settings: FitSettings, earlier: TrainingSet = earlier, block: TrainingSet = block
        ) -> FoldForecast:
            return forecast_block(earlier, block, folds.horizon_months, settings)

        best, standing = judged(found.best), judged(found.untuned)
        untuned.append(standing)
        tuned.append(best)
        rows.append(
            OuterFold(
                first_vintage=str(block.outcomes["vintage_date"].min()),
                loans=block.features.height,
                inner_loss=found.best_loss,
                outer_loss=total_loss([best.loss]),
                untuned_inner_loss=found.untuned_loss,
                untuned_outer_loss=total_loss([standing.loss]),
                kept=kept(found),
            )
        )
    gain = loss_gain(untuned, tuned)
    return Nested(folds=tuple(rows), gain=gain.gain, standard_error=gain.standard_error)


def _refuse_too_deep(folds: TrialFolds, count: int) -> None:
    if not 1 <= count <= len(folds):
        raise TrainingError(f"nested must be 1 to {len(folds)}, the number of folds, not {count}")
    for place in range(len(folds) - count, len(folds)):
        try:
            trial_folds(folds.before(place))
        except TrainingError as error:
            raise TrainingError(
                f"nested {count}: before fold {place + 1} of {len(folds)}, {error}; or give a"
                " smaller --nested"
            ) from error


def code_hash() -> str:
    """SHA-256 over the code and libraries that shape a trial's value."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    for package in _CODE:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
