"""Fitting the recovery model: a ridge and a bag of boosters on one scale, levelled to the data."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logit
from threadpoolctl import threadpool_limits

from features.spec import FeatureSpec
from models.linear import code_columns, design_matrix
from models.link import Link, rate_of
from models.recovery import RecoveryModel
from models.trees import TreePart, tree_matrix
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.labels import Labels, labels_of
from training.likelihood import pull
from training.linear_fit import evidence_ridge, fit_linear
from training.settings import FitSettings, TreeSettings

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
        When too few outcomes are known, the linear part does not converge, or no tree can be grown.
    """
    return fit_candidates(data, [settings])[settings]


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    # Sums split between threads round in another way for every number of them; the same data must
    # give the same model on every machine.
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@_one_blas_thread()
def fit_candidates(
    data: TrainingSet, candidates: Sequence[FitSettings]
) -> Mapping[FitSettings, RecoveryModel]:
    """Fit several settings on the same data, their common parts once.

    The candidates must share link, half-life, feature groups and seed.
    """
    first = candidates[0]
    if first.groups is not None:
        data = data.only(first.groups)
    # Bagging draws rows by their place: in order of loans, the order of the tape changes nothing.
    labels = labels_of(data.by_loan(), first.half_life_years)
    if np.ptp(labels.rate) == 0:
        raise TrainingError(
            f"every known outcome is {labels.rate[0]:g}: there is nothing to learn; check the"
            " ledger"
        )
    link = first.link or labels.link
    # The fractional logit needs labels in [0, 1]. The few outside (`Labels.link`) are moved to the
    # bound for the fit alone, and the level below restores the unclipped mean.
    rate = np.clip(labels.rate, 0.0, 1.0) if link == "logit" else labels.rate
    columns = code_columns(labels.features, data.spec)
    design = design_matrix(labels.features, columns)
    ridge = evidence_ridge(design, rate, labels.weight)
    linear = fit_linear(
        columns, design, rate, labels.weight, link, ridge, labels.share, data.spec.directions
    )
    matrix = tree_matrix(labels.features, data.spec.names)
    target = _Target(rate, labels.share, labels.weight, link)
    trees = {
        settings: _fit_trees(matrix, data.spec, target, settings, first.seed)
        for settings in dict.fromkeys(candidate.tree_settings for candidate in candidates)
    }
    linear_score = linear.score(labels.features)
    tree_scores = {settings: part.score(matrix) for settings, part in trees.items()}
    models = {}
    for candidate in candidates:
        weight = candidate.linear_weight
        score = weight * linear_score + (1 - weight) * tree_scores[candidate.tree_settings]
        models[candidate] = RecoveryModel(
            spec=data.spec,
            link=link,
            level=_level(score, labels, link),
            linear=linear,
            linear_weight=weight,
            trees=trees[candidate.tree_settings],
            tree_weight=1 - weight,
            timing=labels.timing,
        )
    return models


def _level(score: Array, labels: Labels, link: Link) -> float:
    """Shift of the score that makes the mean forecast the mean realised rate of the fit."""
    mean = float(np.average(labels.rate, weights=labels.weight))

    def excess(shift: float) -> float:
        due = labels.share * rate_of(score + shift, link)
        return float(np.average(due, weights=labels.weight)) - mean

    reach = 20.0
    if excess(-reach) >= 0 or excess(reach) <= 0:
        # A mean at or beyond the ends of the logit scale has no level; leave the fit as it is.
        return 0.0
    return float(brentq(excess, -reach, reach, xtol=1e-12))


@dataclass(frozen=True)
class _Target:
    """What the trees are fitted to; see `training.likelihood`."""

    rate: Array
    share: Array
    weight: Array
    link: Link

    def start(self) -> float:
        """Score of the mean, from which the trees start."""
        mean = np.average(self.rate, weights=self.weight)
        mean /= np.average(self.share, weights=self.weight)
        return float(mean if self.link == "identity" else logit(np.clip(mean, 1e-6, 1 - 1e-6)))

    def objective(self, score: Array, _: lgb.Dataset) -> tuple[Array, Array]:
        """Gradient and curvature of each row, for LightGBM."""
        gradient, curvature = pull(score, self.rate, self.share, self.link)
        return self.weight * gradient, self.weight * curvature


def _fit_trees(
    matrix: Array, spec: FeatureSpec, target: _Target, settings: TreeSettings, seed: int
) -> TreePart:
    """Bag of boosters on different seeds."""
    data = lgb.Dataset(
        matrix,
        label=target.rate,
        init_score=np.full(len(matrix), target.start()),
        feature_name=spec.names,
        categorical_feature=spec.categories,
        free_raw_data=False,
    )
    parameters = _parameters(settings) | {
        "objective": target.objective,
        "monotone_constraints": [spec.directions.get(name, 0) for name in spec.names],
    }
    if len(matrix) < _ROWS_FOR_THREADS:
        parameters["num_threads"] = 1
    try:
        texts = tuple(
            lgb.train(parameters | {"seed": seed + bag}, data, settings.rounds).model_to_string()
            for bag in range(settings.bags)
        )
    except lgb.basic.LightGBMError as error:
        raise TrainingError(
            f"no tree can be grown on {len(matrix)} loans with min_data_in_leaf"
            f" {settings.min_data_in_leaf} ({error}); bring more loans, or lower it"
        ) from error
    return TreePart(texts)


def _parameters(settings: TreeSettings) -> dict[str, object]:
    return {
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": settings.min_data_in_leaf,
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
