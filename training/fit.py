"""Fitting the recovery model: a ridge and a bag of boosters on one scale, levelled to the data."""

from collections.abc import Mapping, Sequence
from typing import Final

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression

from models.linear import code_columns, design_matrix, horizon_columns
from models.link import Link, rate_of
from models.recovery import HORIZON, RecoveryModel
from models.trees import TreePart, tree_matrix
from training.cells import Cells, labelled_cells
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.linear_fit import evidence_ridge, fit_linear
from training.settings import PRESETS, FitSettings, Preset, TreeSettings

Array = NDArray[np.float64]
# Below this many rows a second thread costs more than it brings.
_ROWS_FOR_THREADS: Final = 200_000


def fit_recovery(data: TrainingSet, settings: FitSettings) -> RecoveryModel:
    """Fit a recovery model on the outcomes of a training set, censored ones as what they are.

    Parameters
    ----------
    data : TrainingSet
        Training loans.
    settings : FitSettings
        Settings.

    Raises
    ------
    TrainingError
        When too few outcomes are known, or the linear part does not converge.
    """
    return fit_candidates(data, [settings])[settings]


def fit_candidates(
    data: TrainingSet, candidates: Sequence[FitSettings]
) -> Mapping[FitSettings, RecoveryModel]:
    """Fit several settings on the same data, their common parts once.

    The candidates must share link, half-life and seed.
    """
    first = candidates[0]
    # Bagging draws rows by their place: in order of loans, the order of the tape changes nothing.
    cells = labelled_cells(data.by_loan(), first.half_life_years)
    if np.ptp(cells.rate) == 0:
        raise TrainingError(
            f"every known outcome is {cells.rate[0]:g}: there is nothing to learn; check the ledger"
        )
    link = first.link or cells.link
    # The fractional logit needs labels in [0, 1]. The few outside (`Cells.link`) are moved to the
    # bound for the fit alone, and the level below restores the unclipped mean.
    label = np.clip(cells.rate, 0.0, 1.0) if link == "logit" else cells.rate
    columns = code_columns(cells.frame, data.spec)
    if HORIZON in cells.names:
        columns += horizon_columns(cells.frame, HORIZON, cells.horizons_months)
    design = design_matrix(cells.frame, columns)
    ridge = evidence_ridge(design, label, cells.weight)
    linear = fit_linear(columns, design, label, cells.weight, link, ridge)
    matrix = tree_matrix(cells.frame, cells.names)
    trees = {
        preset: _fit_trees(matrix, cells, data.spec.categories, label, link, preset, first.seed)
        for preset in dict.fromkeys(candidate.trees for candidate in candidates)
    }
    linear_score = linear.score(cells.frame)
    tree_scores = {preset: part.score(matrix) for preset, part in trees.items()}
    dated = cells.ultimate_months is not None
    models = {}
    for candidate in candidates:
        weight = candidate.linear_weight
        score = weight * linear_score + (1 - weight) * tree_scores[candidate.trees]
        levels = _levels(score, cells, link)
        models[candidate] = RecoveryModel(
            spec=data.spec,
            link=link,
            level=levels[0],
            timing_levels=tuple(level - levels[0] for level in levels) if dated else (),
            linear=linear,
            linear_weight=weight,
            trees=trees[candidate.trees],
            tree_weight=1 - weight,
            horizons_months=cells.horizons_months,
            ultimate_months=cells.ultimate_months,
            resolved_shares=cells.resolved_shares,
        )
    return models


def _levels(score: Array, cells: Cells, link: Link) -> list[float]:
    """Level at each horizon, never falling; one level where no cash is dated."""
    if cells.ultimate_months is None:
        return [_level(score, cells.rate, cells.weight, link)]
    horizons = cells.frame[HORIZON].to_numpy()
    at = [horizons == months for months in cells.horizons_months]
    levels = [_level(score[rows], cells.rate[rows], cells.weight[rows], link) for rows in at]
    # A level that fell would let a curve fall: neighbours that would are pooled.
    rising = IsotonicRegression().fit_transform(
        np.arange(len(at)), levels, sample_weight=[cells.weight[rows].sum() for rows in at]
    )
    return [float(level) for level in rising]


def _level(score: Array, rate: Array, weight: Array, link: Link) -> float:
    """Shift of the score that makes the mean forecast the mean realised rate of the fit."""
    mean = float(np.average(rate, weights=weight))

    def excess(shift: float) -> float:
        return float(np.average(rate_of(score + shift, link), weights=weight)) - mean

    reach = 20.0
    if excess(-reach) >= 0 or excess(reach) <= 0:
        # A mean at or beyond the ends of the logit scale has no level; leave the fit as it is.
        return 0.0
    return float(brentq(excess, -reach, reach, xtol=1e-12))


def _fit_trees(
    matrix: Array,
    cells: Cells,
    categories: list[str],
    label: Array,
    link: Link,
    preset: Preset,
    seed: int,
) -> TreePart:
    """Bag of boosters on different seeds; cumulative recovery never falls with the horizon."""
    settings = PRESETS[preset]
    # A loan stands in as many rows as it has horizons; leaves are sized in loans.
    copies = max(len(cells.horizons_months), 1) if HORIZON in cells.names else 1
    data = lgb.Dataset(
        matrix,
        label=label,
        weight=cells.weight,
        feature_name=cells.names,
        categorical_feature=categories,
        free_raw_data=False,
    )
    parameters = {
        **_parameters(settings, link),
        "min_data_in_leaf": settings.min_data_in_leaf * copies,
        "monotone_constraints": [int(name == HORIZON) for name in cells.names],
    }
    if len(matrix) < _ROWS_FOR_THREADS:
        parameters["num_threads"] = 1
    texts = tuple(
        lgb.train(parameters | {"seed": seed + bag}, data, settings.rounds).model_to_string()
        for bag in range(settings.bags)
    )
    return TreePart(texts)


def _parameters(settings: TreeSettings, link: Link) -> dict[str, object]:
    return {
        "objective": "regression" if link == "identity" else "cross_entropy",
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "num_leaves": settings.num_leaves,
        "lambda_l2": settings.lambda_l2,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        # Thin categories are pooled: smoothed, penalised, and never split off alone.
        "cat_smooth": 20,
        "cat_l2": 20,
        "min_data_per_group": 40,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
