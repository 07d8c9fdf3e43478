"""Baselines against means taken by hand and against the libraries they come from."""

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import RandomForestRegressor

from features.spec import FeatureDefinition, FeatureSpec
from models.baselines import (
    LabelledLoans,
    age_curve,
    default_lightgbm,
    overall_mean,
    random_forest,
    segment_mean,
)
from models.trees import tree_matrix


@pytest.fixture(scope="module")
def loans() -> LabelledLoans:
    rng = np.random.default_rng(4)
    segment = np.array(["big", "small", "other"])[rng.integers(0, 3, 600)]
    age = rng.integers(0, 60, 600).astype(np.float64)
    rate = 0.1 + 0.3 * (segment == "big") + 0.005 * age + rng.normal(0, 0.05, 600)
    definitions = tuple(
        FeatureDefinition.model_validate(
            {
                "name": name,
                "group": "age",
                "kind": kind,
                "unit": "",
                "levels": levels,
                "meaning_en": name,
                "meaning_zh": "数",
            }
        )
        for name, kind, levels in (
            ("asset_class", "category", ("big", "other", "small")),
            ("noise", "category", ("x", "y")),
            ("months_since_default", "number", ()),
        )
    )
    features = pl.DataFrame(
        {
            "loan_id": [str(n) for n in range(600)],
            "asset_class": pl.Series(segment.tolist(), dtype=pl.Enum(definitions[0].levels)),
            "noise": pl.Series((["x", "y"] * 300), dtype=pl.Enum(["x", "y"])),
            "months_since_default": age,
        }
    )
    return LabelledLoans(
        FeatureSpec(basis="claim", extra_fields=(), definitions=definitions), features, rate
    )


def test_overall_mean(loans: LabelledLoans) -> None:
    forecast = overall_mean(loans)(loans.features.head(3))
    np.testing.assert_allclose(forecast, [np.mean(loans.rate)] * 3)


def test_segment_mean_shrinks_towards_the_overall_mean(loans: LabelledLoans) -> None:
    segment = loans.features["asset_class"].cast(pl.String).to_numpy()
    overall = loans.rate.mean()
    forecast = segment_mean(loans)(loans.features)
    for name in ("big", "small", "other"):
        own = loans.rate[segment == name]
        by_hand = (own.sum() + 50 * overall) / (len(own) + 50)
        np.testing.assert_allclose(forecast[segment == name], by_hand)


def test_an_unseen_segment_gets_the_overall_mean(loans: LabelledLoans) -> None:
    unseen = loans.features.head(2).with_columns(
        asset_class=pl.lit(None, dtype=loans.features.schema["asset_class"])
    )
    np.testing.assert_allclose(segment_mean(loans)(unseen), [loans.rate.mean()] * 2)


def test_age_curve_is_the_mean_by_tenth(loans: LabelledLoans) -> None:
    ages = loans.features["months_since_default"].to_numpy()
    edges = np.quantile(ages, np.arange(1, 10) / 10)
    tenth = np.array([sum(edge < age for edge in edges) for age in ages])
    forecast = age_curve(loans)(loans.features)
    for place in range(10):
        np.testing.assert_allclose(forecast[tenth == place], loans.rate[tenth == place].mean())
    unknown = loans.features.head(1).with_columns(
        months_since_default=pl.lit(None, dtype=pl.Float64)
    )
    np.testing.assert_allclose(age_curve(loans)(unknown), [loans.rate.mean()])


def test_age_curve_without_a_known_age_is_the_overall_mean(loans: LabelledLoans) -> None:
    ageless = loans.features.with_columns(months_since_default=pl.lit(None, dtype=pl.Float64))
    forecast = age_curve(LabelledLoans(loans.spec, ageless, loans.rate))(loans.features)
    np.testing.assert_allclose(forecast, loans.rate.mean())


def test_random_forest_is_scikit_learns(loans: LabelledLoans) -> None:
    few = LabelledLoans(loans.spec, loans.features.head(80), loans.rate[:80])
    matrix = tree_matrix(few.features, few.spec.names)
    forest = RandomForestRegressor(n_estimators=300, random_state=20110101).fit(matrix, few.rate)
    np.testing.assert_array_equal(random_forest(few)(few.features), forest.predict(matrix))


def test_default_lightgbm_learns_what_is_there(loans: LabelledLoans) -> None:
    forecast = default_lightgbm(loans)(loans.features)
    assert np.corrcoef(forecast, loans.rate)[0, 1] > 0.95
