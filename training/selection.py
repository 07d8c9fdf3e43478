"""Choosing among the candidates by walk-forward validation inside the training vintages."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.horizons import rate_column
from features.targets import ULTIMATE
from models.recovery import RecoveryModel
from training.dataset import TrainingSet
from training.fit import fit_candidates
from training.labels import MIN_OUTCOMES, known_outcomes
from training.settings import CANDIDATES, FitSettings, default_settings
from training.walk_forward import sampled

Array = NDArray[np.float64]
# Expanding folds between these shares of the training loans, in vintage order.
_FOLD_EDGES: Final = (0.4, 0.6, 0.8, 1.0)
# Standard errors by which a candidate must beat the simplest, so that noise does not choose.
_STANDARD_ERRORS: Final = 2.0
# More loans than this sharpen nothing in a choice among four.
_MOST_LOANS: Final = 10_000
_LEAST_FOLD: Final = 30


@dataclass(frozen=True)
class Choice:
    """What the walk-forward validation chose, and on what evidence.

    Attributes
    ----------
    settings : FitSettings
        The chosen candidate.
    evidence : list of dict
        For each candidate its `r2` against the mean of the earlier vintages, over all folds, and
        `standard_errors`, its paired gain over the simplest in standard errors.
    """

    settings: FitSettings
    evidence: list[dict[str, Any]]


def choose(data: TrainingSet) -> Choice:
    """Choose the settings of a fit without looking at later vintages.

    Three expanding folds. The candidate with the smallest squared error is chosen among those that
    beat the simplest one by more than two paired standard errors. Where none does, the default
    for that many loans stands (`training.settings.default_settings`); likewise where the vintages
    do not allow a single fold.
    """
    errors: dict[FitSettings, list[Array]] = {candidate: [] for candidate in CANDIDATES}
    of_mean: list[Array] = []
    for train, test in _folds(sampled(data.by_loan(), CANDIDATES[0].seed, _MOST_LOANS)):
        models = fit_candidates(train, CANDIDATES)
        horizons = models[CANDIDATES[0]].horizons_months
        judged, rate = _known_rates(test, horizons)
        _, earlier = _known_rates(train, horizons)
        of_mean.append((rate - earlier.mean()) ** 2)
        for candidate, model in models.items():
            errors[candidate].append((rate - _forecast(model, judged)) ** 2)
    standing = default_settings(data.features.height)
    if not of_mean:
        return Choice(standing, [])
    baseline = np.concatenate(of_mean)
    joined = {candidate: np.concatenate(parts) for candidate, parts in errors.items()}
    simplest = joined[CANDIDATES[0]]
    chosen, best_gain = standing, 0.0
    evidence: list[dict[str, Any]] = []
    for candidate, squared in joined.items():
        gain = simplest - squared
        error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
        sigmas = float(gain.mean() / error) if error > 0 else 0.0
        evidence.append(
            {
                "trees": candidate.trees_name,
                "linear_weight": candidate.linear_weight,
                "r2": 1 - float(squared.sum() / baseline.sum()),
                "standard_errors": sigmas,
            }
        )
        if sigmas > _STANDARD_ERRORS and gain.mean() > best_gain:
            chosen, best_gain = candidate, float(gain.mean())
    return Choice(chosen, evidence)


def _known_rates(data: TrainingSet, horizons_months: tuple[int, ...]) -> tuple[TrainingSet, Array]:
    """Loans with a rate to be judged by, and that rate.

    With dated cash it is the rate at the last horizon of the curve that the loan was watched for.
    """
    if data.meta.recovery_timing != "monthly":
        known = data.rows(data.outcomes[ULTIMATE].is_not_null())
        return known, known.outcomes[ULTIMATE].to_numpy()
    known = data.rows(data.outcomes["observed_months"] >= horizons_months[0])
    rates = known.outcomes.select(map(rate_column, horizons_months)).to_numpy()
    return known, rates[np.arange(len(rates)), _last_watched(known, horizons_months)]


def _last_watched(data: TrainingSet, horizons_months: tuple[int, ...]) -> NDArray[np.intp]:
    watched = data.outcomes["observed_months"].to_numpy()
    return np.searchsorted(horizons_months, watched, side="right") - 1


def _forecast(model: RecoveryModel, judged: TrainingSet) -> Array:
    ultimate, curve = model.forecast(judged.features)
    if judged.meta.recovery_timing != "monthly":
        return ultimate
    return curve[np.arange(len(curve)), _last_watched(judged, model.horizons_months)]


def _folds(data: TrainingSet) -> list[tuple[TrainingSet, TrainingSet]]:
    vintage = data.outcomes["vintage_date"]
    edges = [vintage.quantile(share, interpolation="higher") for share in _FOLD_EDGES]
    # A vintage as large as a fold is one fold, not two.
    edges = list(dict.fromkeys(edges))
    folds = []
    for start, end in pairwise(edges):
        last = end == edges[-1]
        train = data.rows(vintage < start)
        test = data.rows((vintage >= start) & (vintage <= end if last else vintage < end))
        least = MIN_OUTCOMES if data.meta.recovery_timing == "monthly" else _LEAST_FOLD
        if known_outcomes(train) >= MIN_OUTCOMES and known_outcomes(test) >= least:
            folds.append((train, test))
    return folds
