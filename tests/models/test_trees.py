"""The tree part: columns as LightGBM reads them, contributions that add up to the raw score."""

from collections.abc import Callable

import lightgbm as lgb
import numpy as np
import polars as pl

from features.spec import FeatureSpec
from models.recovery import RecoveryModel
from models.trees import tree_matrix


def test_categories_are_codes_and_missing_is_nan() -> None:
    frame = pl.DataFrame(
        {
            "number": [1.5, None, 3.0],
            "colour": pl.Series(["red", None, "blue"], dtype=pl.Enum(["blue", "green", "red"])),
            "unused": ["x", "y", "z"],
        }
    )
    matrix = tree_matrix(frame, ["colour", "number"])
    np.testing.assert_array_equal(matrix, [[2.0, 1.5], [np.nan, np.nan], [0.0, 3.0]])
    assert matrix.flags.c_contiguous
    assert tree_matrix(frame[:1], ["colour", "number"]).tolist() == [[2.0, 1.5]]


def test_contributions_add_up_to_the_raw_score(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, spec: FeatureSpec
) -> None:
    trees = toy().trees
    matrix = tree_matrix(frame, spec.names)
    contributions = trees.contributions(matrix)
    assert contributions.shape == (500, 4)
    np.testing.assert_allclose(contributions.sum(axis=1), trees.score(matrix), atol=1e-9)
    np.testing.assert_array_equal(contributions[:, -1], contributions[0, -1])


def test_the_score_is_the_mean_of_the_boosters(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, spec: FeatureSpec
) -> None:
    trees = toy().trees
    matrix = tree_matrix(frame, spec.names)
    single = [lgb.Booster(model_str=text).predict(matrix, raw_score=True) for text in trees.texts]
    assert len(set(trees.texts)) == 3
    np.testing.assert_allclose(trees.score(matrix), np.mean(single, axis=0), atol=1e-12)
