"""Baselines that a recovery model must beat, each a function from labelled loans to a forecast.

They see the same features and the same labels as the model. Loans whose outcome is censored have
no label here; what that costs is part of the comparison.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from features.spec import FeatureSpec
from models.trees import tree_matrix

Array = NDArray[np.float64]
Forecast = Callable[[pl.DataFrame], Array]
_SEED: Final = 20110101
# Loans that the mean of a thin segment is shrunk with: half own experience, half the overall mean.
_CREDIBILITY_LOANS: Final = 50


@dataclass(frozen=True)
class LabelledLoans:
    """Loans with a known recovery rate.

    Attributes
    ----------
    spec : FeatureSpec
        The features' specification.
    features : polars.DataFrame
        Feature frame.
    rate : array, shape (loans,)
        Realised recovery rates, unclipped.
    """

    spec: FeatureSpec
    features: pl.DataFrame
    rate: Array


def overall_mean(loans: LabelledLoans) -> Forecast:
    """Mean recovery rate of the training loans, for every loan."""
    mean = float(loans.rate.mean())
    return lambda features: np.full(features.height, mean)


def segment_mean(loans: LabelledLoans) -> Forecast:
    """Mean by the one segmentation that explains most, shrunk towards the overall mean.

    Every category and ordered feature is a candidate; the one with the largest between-segment sum
    of squares of shrunken means is used.
    """
    candidates = [d.name for d in loans.spec.definitions if d.kind in ("category", "ordered")]
    overall = float(loans.rate.mean())
    best, best_gain = None, 0.0
    for name in candidates:
        table = _shrunken_means(loans.features[name], loans.rate, overall)
        gain = float((table["loans"] * (table["mean"] - overall) ** 2).sum())
        if gain > best_gain:
            best, best_gain = (name, table), gain
    if best is None:
        return overall_mean(loans)
    name, table = best
    means = dict(zip(table["segment"], table["mean"], strict=True))

    def forecast(features: pl.DataFrame) -> Array:
        segments = features[name].cast(pl.String)
        return np.array([means.get(segment, overall) for segment in segments])

    return forecast


def age_curve(loans: LabelledLoans) -> Forecast:
    """Mean by tenth of the age at the cut-off: months since default, else months on book."""
    clocks = ("months_since_default", "months_on_book")
    names = [n for n in clocks if n in loans.spec.names and loans.features[n].count()]
    if not names:
        return overall_mean(loans)
    name = names[0]
    overall = float(loans.rate.mean())
    ages = loans.features[name].to_numpy()
    edges = np.unique(np.nanquantile(ages, np.linspace(0.1, 0.9, 9)))
    bins = np.searchsorted(edges, ages)
    known = ~np.isnan(ages)
    means = np.array(
        [
            loans.rate[known & (bins == b)].mean() if (known & (bins == b)).any() else overall
            for b in range(len(edges) + 1)
        ]
    )

    def forecast(features: pl.DataFrame) -> Array:
        values = features[name].to_numpy()
        return np.where(np.isnan(values), overall, means[np.searchsorted(edges, values)])

    return forecast


def random_forest(loans: LabelledLoans) -> Forecast:
    """Random forest of scikit-learn, 300 trees, other settings as they come."""
    forest = RandomForestRegressor(n_estimators=300, random_state=_SEED)
    names = loans.spec.names
    forest.fit(tree_matrix(loans.features, names), loans.rate)
    return lambda features: np.asarray(forest.predict(tree_matrix(features, names)))


def default_lightgbm(loans: LabelledLoans) -> Forecast:
    """LightGBM regression with its default settings, categories as categories."""
    names = loans.spec.names
    data = lgb.Dataset(
        tree_matrix(loans.features, names),
        label=loans.rate,
        feature_name=names,
        categorical_feature=loans.spec.categories,
        free_raw_data=True,
    )
    settings = {
        "objective": "regression",
        "seed": _SEED,
        "deterministic": True,
        "verbosity": -1,
    }
    booster = lgb.train(settings, data)
    return lambda features: np.asarray(booster.predict(tree_matrix(features, names)))


def _shrunken_means(segments: pl.Series, rate: Array, overall: float) -> pl.DataFrame:
    frame = pl.DataFrame({"segment": segments.cast(pl.String), "rate": rate})
    return (
        frame.group_by("segment", maintain_order=True)
        .agg(loans=pl.len(), total=pl.col("rate").sum())
        .select(
            "segment",
            "loans",
            mean=(pl.col("total") + _CREDIBILITY_LOANS * overall)
            / (pl.col("loans") + _CREDIBILITY_LOANS),
        )
    )
