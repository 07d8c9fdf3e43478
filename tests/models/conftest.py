"""A small model by hand: three features, known weights, boosters of a few trees."""

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from features.spec import FeatureDefinition, FeatureSpec
from models.linear import LinearPart, code_columns
from models.recovery import RecoveryModel
from models.trees import TreePart, tree_matrix

LEVELS = ("cash", "house", "none")


def definition(name: str, kind: Any, levels: tuple[str, ...] = ()) -> FeatureDefinition:
    return FeatureDefinition(
        name=name,
        group="borrower",
        kind=kind,
        unit="",
        levels=levels,
        meaning_en=name,
        meaning_zh="数",
    )


@pytest.fixture(scope="session")
def spec() -> FeatureSpec:
    return FeatureSpec(
        basis="principal",
        extra_fields=(),
        definitions=(
            definition("income", "number"),
            definition("security", "category", LEVELS),
            definition("grade", "ordered", ("A", "B", "C")),
        ),
    )


@pytest.fixture(scope="session")
def frame() -> pl.DataFrame:
    """Five hundred loans; every tenth income and every seventh security is missing."""
    rng = np.random.default_rng(8)
    place = np.arange(500)
    return pl.DataFrame(
        {
            "loan_id": [f"L{n}" for n in place],
            "income": pl.Series(rng.lognormal(3, 1, 500)).set(pl.Series(place % 10 == 0), None),
            "security": pl.Series(
                [None if n % 7 == 0 else LEVELS[n % 3] for n in place], dtype=pl.Enum(LEVELS)
            ),
            "grade": (place % 3).astype(np.float64),
        }
    )


@pytest.fixture(scope="session")
def toy(spec: FeatureSpec, frame: pl.DataFrame) -> Callable[..., RecoveryModel]:
    """Make the model; keyword arguments replace its attributes."""
    matrix = tree_matrix(frame, spec.names)
    rng = np.random.default_rng(9)
    rate = np.clip(0.2 + 0.2 * matrix[:, 2] + rng.normal(0, 0.1, 500), 0, 1)
    rate = np.where(frame["security"].cast(pl.String).fill_null("") == "house", rate / 2, rate)
    settings = {
        "objective": "cross_entropy",
        "num_leaves": 6,
        "verbosity": -1,
        "num_threads": 1,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
    }

    def booster(seed: int) -> str:
        data = lgb.Dataset(
            matrix, label=rate, feature_name=spec.names, categorical_feature=["security"]
        )
        return str(lgb.train(settings | {"seed": seed}, data, 15).model_to_string())

    texts = tuple(booster(seed) for seed in (1, 2, 3))
    columns = code_columns(frame, spec)
    weights = np.linspace(-1, 1, len(columns))
    linear = LinearPart(
        intercept=-0.3,
        columns=tuple(
            column.model_copy(update={"weight": float(weight)})
            for column, weight in zip(columns, weights, strict=True)
        ),
    )

    def make(**changed: Any) -> RecoveryModel:
        attributes: dict[str, Any] = {
            "spec": spec,
            "link": "logit",
            "level": 0.1,
            "linear": linear,
            "linear_weight": 0.4,
            "trees": TreePart(texts),
            "tree_weight": 0.6,
        }
        return RecoveryModel(**(attributes | changed))

    return make
