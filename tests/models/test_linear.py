"""The linear part: what each code says of a value, and contributions that add up to the score."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from features.spec import FeatureSpec
from models.linear import CodedColumn, code_columns, design_matrix
from models.recovery import RecoveryModel


def test_contributions_are_the_score_less_the_intercept(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame, spec: FeatureSpec
) -> None:
    linear = toy().linear
    contributions = linear.contributions(frame, spec.names)
    assert contributions.shape == (500, 3)
    np.testing.assert_allclose(
        contributions.sum(axis=1), linear.score(frame) - linear.intercept, atol=1e-12
    )
    # Centred on the training means: on average nothing speaks for or against.
    np.testing.assert_allclose(contributions.mean(axis=0), 0, atol=1e-12)


def test_the_score_is_the_design_times_the_weights(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame
) -> None:
    linear = toy().linear
    weights = np.array([column.weight for column in linear.columns])
    np.testing.assert_allclose(
        linear.score(frame), design_matrix(frame, linear.columns) @ weights - 0.3, atol=1e-12
    )


def test_a_number_enters_as_its_rank() -> None:
    column = CodedColumn(feature="x", code="rank", knots=(0.0, 10.0, 1000.0))
    frame = pl.DataFrame({"x": [-5.0, 0.0, 5.0, 10.0, 505.0, 1e9, None]})
    # Halfway between the first two knots is a quarter; past the last nothing rises; missing: half.
    assert column.coded(frame).tolist() == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 0.5]


def test_ranks_of_training_values_are_their_empirical_percentiles(
    frame: pl.DataFrame, spec: FeatureSpec
) -> None:
    column = code_columns(frame, spec)[0]
    assert (column.feature, column.code) == ("income", "rank")
    known = frame["income"].drop_nulls()
    percentiles = (known.rank() - 1) / (len(known) - 1)
    ranks = column.coded(frame.filter(pl.col("income").is_not_null()))
    np.testing.assert_allclose(ranks, percentiles, atol=0.011)


def test_columns_of_the_design(frame: pl.DataFrame, spec: FeatureSpec) -> None:
    columns = code_columns(frame, spec)
    assert [(c.feature, c.code, c.level) for c in columns] == [
        ("income", "rank", ""),
        ("income", "missing", ""),
        ("security", "level", "cash"),
        ("security", "level", "house"),
        ("security", "level", "none"),
        ("security", "missing", ""),
        ("grade", "rank", ""),
    ]
    design = design_matrix(frame, columns)
    np.testing.assert_allclose(design.mean(axis=0), 0, atol=1e-12)
    # Ranks have spread one; indicators keep their own.
    assert design[:, 0].std() == pytest.approx(1)
    assert design[:, 1].std() == pytest.approx(0.3)  # a tenth is missing: sqrt(0.1 * 0.9)
    assert [c.mean for c in columns][1] == pytest.approx(0.1)


def test_constant_columns_are_left_out(frame: pl.DataFrame, spec: FeatureSpec) -> None:
    flat = frame.with_columns(income=pl.lit(5.0), grade=pl.lit(None, dtype=pl.Float64))
    assert {c.feature for c in code_columns(flat, spec)} == {"security"}


def test_a_copy_with_other_weights_scores_with_them(
    toy: Callable[..., RecoveryModel], frame: pl.DataFrame
) -> None:
    linear = toy().linear
    linear.score(frame)
    doubled = tuple(c.model_copy(update={"weight": 2 * c.weight}) for c in linear.columns)
    copied = linear.model_copy(update={"columns": doubled})
    np.testing.assert_allclose(
        copied.score(frame) - copied.intercept, 2 * (linear.score(frame) - linear.intercept)
    )
