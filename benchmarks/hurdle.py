"""A hurdle beside the shipped model: P(pays) x E(rate given it pays), LightGBM for both."""

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.baselines import Forecast, LabelledLoans
from models.trees import tree_matrix
from training.settings import TreeSettings

# A recovery below half a percent of the exposure counts as none.
PAYS_FROM_RATE = 0.005


def fit_hurdle(loans: LabelledLoans, settings: TreeSettings) -> Forecast:
    """Hurdle with the shipped trees' settings; the expectation is the product, never a gate."""
    names = loans.spec.names
    matrix = tree_matrix(loans.features, names)
    pays = loans.rate > PAYS_FROM_RATE
    shared = {
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": settings.min_data_in_leaf,
        "lambda_l2": settings.lambda_l2,
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
        "num_threads": 1,
    }

    def bag(
        label: NDArray[np.float64], rows: NDArray[np.bool_], objective: str
    ) -> list[lgb.Booster]:
        data = lgb.Dataset(
            matrix[rows],
            label=label[rows],
            feature_name=names,
            categorical_feature=loans.spec.categories,
            free_raw_data=False,
        )
        return [
            lgb.train(shared | {"objective": objective, "seed": seed}, data, settings.rounds)
            for seed in range(settings.bags)
        ]

    chance = bag(pays.astype(np.float64), np.ones(len(pays), dtype=bool), "binary")
    amount = bag(loans.rate, pays, "regression")

    def forecast(features: pl.DataFrame) -> NDArray[np.float64]:
        rows = tree_matrix(features, names)
        paying = np.mean([booster.predict(rows) for booster in chance], axis=0)
        paid = np.mean([booster.predict(rows) for booster in amount], axis=0)
        return np.asarray(paying * paid)

    return forecast
