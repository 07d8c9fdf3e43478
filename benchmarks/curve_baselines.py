"""Rival curves of dated cash, each a function from training loans to a forecaster."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.exposure import EAD
from features.horizons import rate_column
from models.bornhuetter_ferguson import bornhuetter_ferguson, cape_cod_rate, developed_shares
from models.chain_ladder import age_to_age_factors, developed
from models.trees import tree_matrix
from training.dataset import TrainingSet
from training.labels import labels_of

Array = NDArray[np.float64]
Curve = Callable[[TrainingSet], Array]
HORIZON = "horizon_months"
HALF_LIFE_YEARS = 8.0
SEED = 20070401
TREES = {
    "learning_rate": 0.06,
    "max_depth": 7,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "lambda_l2": 2.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "seed": SEED,
    "verbosity": -1,
    "bagging_freq": 1,
    "cat_smooth": 20,
    "cat_l2": 20,
    "min_data_per_group": 40,
}


def horizons_of(train: TrainingSet) -> tuple[int, ...]:
    """Horizons that the training loans were watched for."""
    timing = labels_of(train, HALF_LIFE_YEARS).timing
    return () if timing is None else timing.horizons_months


def segments(features: pl.DataFrame) -> NDArray[np.str_]:
    """Asset class, and whether the loan is secured: its security has a value."""
    parts = [pl.col("asset_class").cast(pl.String), pl.col("appraised_value").is_not_null()]
    return features.select(pl.concat_str(parts, separator="/")).to_series().to_numpy().astype(str)


def chain_ladder(train: TrainingSet) -> Curve:
    """Pooled developed rate of the segment, for every loan in it."""
    return _by_segment(train, _developed_rates)


def bornhuetter_ferguson_curve(train: TrainingSet) -> Curve:
    """Ultimate of the loan's own vintage and segment, the Cape Cod prior where it has not begun."""
    return _by_segment(train, _vintage_rates)


def _by_segment(
    train: TrainingSet, rates: Callable[[TrainingSet, tuple[int, ...]], dict[int, Array]]
) -> Curve:
    """Rates by segment and half-year (-1 where it has not begun); thin segments take all loans'."""
    horizons = horizons_of(train)
    of_train = segments(train.features)
    tables = {"": rates(train, horizons)}
    for segment in np.unique(of_train):
        with suppress(ValueError):
            tables[segment] = rates(train.rows(pl.Series(of_train == segment)), horizons)

    def forecast(data: TrainingSet) -> Array:
        chosen = [tables.get(segment, tables[""]) for segment in segments(data.features)]
        halves = _half_years(data)
        return np.array([t.get(h, t[-1]) for t, h in zip(chosen, halves, strict=True)])

    return forecast


def _half_years(data: TrainingSet) -> list[int]:
    vintage = data.outcomes["vintage_date"]
    return (vintage.dt.year() * 2 + (vintage.dt.month() > 6)).to_list()


def _triangle(
    data: TrainingSet, horizons: tuple[int, ...]
) -> tuple[NDArray[np.int64], Array, Array]:
    """Half-years that have begun, their EAD, and cumulative cash; NaN where not wholly watched."""
    names = [rate_column(months) for months in horizons]
    cash = [
        pl.when((pl.col("observed_months") >= months).all())
        .then((pl.col(name) * pl.col(EAD)).sum())
        .alias(name)
        for months, name in zip(horizons, names, strict=True)
    ]
    table = (
        data.outcomes.with_columns(half=pl.Series(_half_years(data), dtype=pl.Int64))
        .group_by("half")
        .agg(pl.col(EAD).sum(), *cash)
        .sort("half")
        .drop_nulls(names[0])
    )
    return table["half"].to_numpy(), table[EAD].to_numpy(), table.select(names).to_numpy()


def _developed_rates(data: TrainingSet, horizons: tuple[int, ...]) -> dict[int, Array]:
    _, exposure, triangle = _triangle(data, horizons)
    full = developed(triangle, age_to_age_factors(triangle))
    return {-1: full.sum(axis=0) / exposure.sum()}


def _vintage_rates(data: TrainingSet, horizons: tuple[int, ...]) -> dict[int, Array]:
    halves, exposure, triangle = _triangle(data, horizons)
    share = developed_shares(age_to_age_factors(triangle))
    last = (~np.isnan(triangle)).sum(axis=1) - 1
    latest = triangle[np.arange(len(last)), last]
    prior = cape_cod_rate(latest, exposure, share[last])
    ultimate = bornhuetter_ferguson(latest, prior * exposure, share[last]) / exposure
    own = {int(half): rate * share for half, rate in zip(halves, ultimate, strict=True)}
    return own | {-1: prior * share}


def horizon_as_feature(train: TrainingSet) -> Curve:
    """Trees on a row for every loan and horizon it was watched for; the horizon is monotone."""
    horizons = horizons_of(train)
    frame, rate, weight = _watched_rows(train, horizons, increments=False)
    names = [*train.spec.names, HORIZON]
    parameters = TREES | {
        "objective": "cross_entropy",
        "monotone_constraints": [int(name == HORIZON) for name in names],
    }
    booster = _boosted(frame, np.clip(rate, 0.0, 1.0), weight, train, parameters)
    return lambda test: np.column_stack(_at_horizons(booster, test, horizons))


def increments_of_cash(train: TrainingSet) -> Curve:
    """Net cash of each interval as a rate of EAD, by trees on loan-interval rows, added up."""
    horizons = horizons_of(train)
    frame, rate, weight = _watched_rows(train, horizons, increments=True)
    booster = _boosted(frame, rate, weight, train, TREES | {"objective": "regression"})

    def forecast(test: TrainingSet) -> Array:
        steps = _at_horizons(booster, test, horizons)
        # A curve that falls would name cash that flows back.
        return np.cumsum(np.maximum(np.column_stack(steps), 0.0), axis=1)

    return forecast


def _watched_rows(
    train: TrainingSet, horizons: tuple[int, ...], *, increments: bool
) -> tuple[pl.DataFrame, Array, Array]:
    """Features with the horizon, rate and weight of every horizon each loan was watched for."""
    days = train.outcomes["vintage_date"].cast(pl.Int32).to_numpy()
    recency = 0.5 ** ((days.max() - days) / 365.2425 / HALF_LIFE_YEARS)
    frames, rates, weights = [], [], []
    for earlier, later in pairwise((0, *horizons)):
        watched = train.outcomes["observed_months"] >= later
        rate = train.outcomes[rate_column(later)].filter(watched).to_numpy()
        if increments and earlier:
            rate = rate - train.outcomes[rate_column(earlier)].filter(watched).to_numpy()
        frames.append(_at_horizon(train.features.filter(watched), later))
        rates.append(rate)
        weights.append(recency[watched.to_numpy()])
    return pl.concat(frames), np.concatenate(rates), np.concatenate(weights)


def _at_horizon(features: pl.DataFrame, months: int) -> pl.DataFrame:
    return features.with_columns(pl.lit(float(months)).alias(HORIZON))


def _boosted(
    frame: pl.DataFrame,
    rate: Array,
    weight: Array,
    train: TrainingSet,
    parameters: Mapping[str, object],
) -> lgb.Booster:
    names = [*train.spec.names, HORIZON]
    data = lgb.Dataset(
        tree_matrix(frame, names),
        label=rate,
        weight=weight,
        feature_name=names,
        categorical_feature=train.spec.categories,
    )
    return lgb.train(dict(parameters), data, 300)


def _at_horizons(booster: lgb.Booster, test: TrainingSet, horizons: tuple[int, ...]) -> list[Array]:
    names = [*test.spec.names, HORIZON]
    return [
        np.asarray(booster.predict(tree_matrix(_at_horizon(test.features, months), names)))
        for months in horizons
    ]
