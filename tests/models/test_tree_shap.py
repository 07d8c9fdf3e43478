"""The explanation of trees against LightGBM's own, shap's, and the definition by brute force."""

import logging
from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import lightgbm as lgb
import numba
import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models import tree_kernel, tree_shap, trees
from models.errors import ModelsError
from models.tree_shap import tables_within, tree_contributions
from models.tree_text import read_trees
from models.trees import TreePart

Array = NDArray[np.float64]
CODES = [4, 5]
PLAIN = {"verbosity": -1, "num_threads": 1, "objective": "l2", "num_leaves": 15}
LOOSE = {"min_data_per_group": 5, "cat_smooth": 1, "cat_l2": 0, "max_cat_to_onehot": 2}
# Every value that LightGBM treats in its own way, in any column.
ODD = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-34, np.inf, -np.inf, -1.0, -0.5, 0.5, 39.0, 40.0]
ODD += [63.0, 64.0, 1e6, 1e300, -1e300]


def loans(count: int = 600, seed: int = 1) -> tuple[Array, Array]:
    """Four numbers (one with many zeros, one constant), two codes of 3 and 40 levels, a target."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, 6))
    matrix[rng.random(count) < 0.4, 1] = 0.0
    matrix[:, 3] = 7.0
    matrix[:, 4], matrix[:, 5] = rng.integers(0, 3, count), rng.integers(0, 40, count)
    target = matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + (matrix[:, 4] == 1) + matrix[:, 5] % 5
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    return matrix, target + rng.normal(0, 0.1, count)


def fit(rounds: int = 12, categories: list[int] | None = None, **changed: Any) -> str:
    matrix, target = loans()
    data = lgb.Dataset(
        matrix, label=target, categorical_feature=CODES if categories is None else categories
    )
    return str(lgb.train(PLAIN | LOOSE | changed, data, rounds).model_to_string())


def rows_to_explain() -> Array:
    """Training rows, then rows where each value in turn is odd, then odd ones throughout."""
    matrix, _ = loans()
    changed: list[Array] = []
    for odd in ODD:
        for column in range(matrix.shape[1]):
            row = matrix[len(changed)].copy()
            row[column] = odd
            changed.append(row)
    rng = np.random.default_rng(2)
    return np.vstack([matrix, changed, rng.choice(ODD, size=(200, matrix.shape[1]))])


def reference(text: str, matrix: Array) -> Array:
    return np.asarray(lgb.Booster(model_str=text).predict(matrix, pred_contrib=True))


MODELS: dict[str, Callable[[], str]] = {
    "categories and missing": fit,
    "numbers and missing": lambda: fit(categories=[]),
    "missing read as zero": lambda: fit(use_missing=False),
    "zero as missing": lambda: fit(zero_as_missing=True),
    "deep": lambda: fit(num_leaves=120, min_data_in_leaf=2, max_depth=-1),
    "deep and narrow": lambda: fit(num_leaves=60, min_data_in_leaf=1, feature_fraction=0.4),
    "one tree": lambda: fit(rounds=1),
    "two leaves a tree": lambda: fit(num_leaves=2),
    "a single leaf": lambda: fit(min_data_in_leaf=500),
    "not from the average": lambda: fit(boost_from_average=False),
    "monotone and bagged": lambda: fit(
        monotone_constraints=[1, 0, 0, 0, 0, 0], bagging_fraction=0.5, bagging_freq=1
    ),
    "quantiles": lambda: fit(objective="quantile", alpha=0.8),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_explained_as_lightgbm_does(name: str) -> None:
    text, matrix = MODELS[name](), rows_to_explain()
    part = TreePart((text,))
    assert part.explained_by == "tables"
    found, expected = part.contributions(matrix), reference(text, matrix)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=1), part.score(matrix), rtol=0, atol=1e-10)


def test_the_family_has_what_it_claims() -> None:
    kinds = {name: read_trees(make()) for name, make in MODELS.items()}
    assert max(len(tree.leaf_value) for tree in kinds["deep"]) > 64
    assert any(tree.categories for tree in kinds["categories and missing"])
    assert not any(tree.categories for tree in kinds["numbers and missing"])
    assert {len(tree.leaf_value) for tree in kinds["a single leaf"]} == {1}
    zero = kinds["zero as missing"]
    assert any((tree.zero_left != (tree.threshold >= 0)).any() for tree in zero)
    widest = max(len(codes) for tree in kinds["deep"] for codes in tree.categories.values())
    assert widest == 64


def test_boosters_are_averaged() -> None:
    matrix = rows_to_explain()
    texts = tuple(fit(seed=seed, bagging_fraction=0.5, bagging_freq=1) for seed in (1, 2, 3))
    expected = np.mean([reference(text, matrix) for text in texts], axis=0)
    np.testing.assert_allclose(TreePart(texts).contributions(matrix), expected, rtol=0, atol=1e-10)


def test_shap_by_its_own_compiled_code_agrees_on_numbers() -> None:
    text = fit(categories=[])
    matrix, _ = loans()
    explainer = shap.TreeExplainer(lgb.Booster(model_str=text))
    # As "lightgbm" it would ask `pred_contrib`; this makes it walk the trees itself.
    explainer.model.model_type = "internal"
    found = TreePart((text,)).contributions(matrix)
    np.testing.assert_allclose(found[:, :-1], explainer.shap_values(matrix), rtol=0, atol=1e-6)


def expectation(node: dict[str, Any], row: Array, known: frozenset[int]) -> float:
    """Path-dependent expectation of a tree where only some features are known: the definition."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        return expectation(left if goes_left(node, row) else right, row, known)

    def count(child: dict[str, Any]) -> int:
        return int(child.get("internal_count", child.get("leaf_count", 0)))

    parts = [count(child) * expectation(child, row, known) for child in (left, right)]
    return float(sum(parts) / node["internal_count"])


def goes_left(node: dict[str, Any], row: Array) -> bool:
    value, kind = row[node["split_feature"]], node["missing_type"]
    if node["decision_type"] == "==":
        codes = {int(code) for code in str(node["threshold"]).split("||")}
        return bool(np.isfinite(value) and int(value) in codes)
    if np.isnan(value) and kind != "NaN":
        value = 0.0
    if np.isnan(value) or (kind == "Zero" and value == 0):
        return bool(node["default_left"])
    return bool(value <= node["threshold"])


def by_definition(text: str, row: Array) -> Array:
    count = len(row)
    result = np.zeros(count + 1)
    for info in lgb.Booster(model_str=text).dump_model()["tree_info"]:
        tree = info["tree_structure"]
        result[-1] += expectation(tree, row, frozenset())
        for feature in range(count):
            others = [other for other in range(count) if other != feature]
            for size in range(count):
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                for chosen in map(frozenset, combinations(others, size)):
                    gain = expectation(tree, row, chosen | {feature})
                    result[feature] += weight * (gain - expectation(tree, row, chosen))
    return result


@pytest.mark.parametrize("changed", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_shapley_values_by_their_definition(changed: dict[str, Any]) -> None:
    text = fit(rounds=2, num_leaves=7, **changed)
    matrix = rows_to_explain()[[0, 5, 610, 650, 700, 750]]
    found = TreePart((text,)).contributions(matrix)
    for row, own in zip(matrix, found, strict=True):
        np.testing.assert_allclose(own, by_definition(text, row), rtol=0, atol=1e-12)


@given(
    seed=st.integers(0, 10_000),
    leaves=st.integers(2, 12),
    depth=st.integers(1, 5),
    zero_as_missing=st.booleans(),
    rows=st.lists(
        st.lists(
            st.sampled_from(ODD) | st.floats(allow_nan=True, width=32), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=40, deadline=None)
def test_small_trees_and_any_rows(
    seed: int, leaves: int, depth: int, zero_as_missing: bool, rows: list[list[float]]
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.choice([-1.5, -1.0, 0.0, 0.5, 2.0, np.nan], size=(60, 3))
    matrix[:, 2] = rng.integers(0, 5, 60)
    shape = {"num_leaves": leaves, "max_depth": depth, "zero_as_missing": zero_as_missing}
    text = lgb.train(
        PLAIN | LOOSE | shape | {"min_data_in_leaf": 1, "min_data_in_bin": 1},
        lgb.Dataset(matrix, label=rng.normal(size=60), categorical_feature=[2]),
        3,
    ).model_to_string()
    asked = np.array(rows)
    found = TreePart((text,)).contributions(asked)
    np.testing.assert_allclose(found, reference(text, asked), rtol=0, atol=1e-12)


def test_company_and_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    part, matrix = (
        TreePart((fit(), fit(seed=3, bagging_fraction=0.5, bagging_freq=1))),
        loans(5_000)[0],
    )
    whole = part.contributions(matrix)
    for size in (1, 7, 8, 1_000, 1_025, 4_999):
        found = part.contributions(matrix[:size])
        assert found.tobytes() == whole[:size].tobytes()
    monkeypatch.setattr(tree_shap, "_ROWS_A_THREAD", 100)
    for threads in (1, 2, 3):
        monkeypatch.setattr(tree_shap, "_threads", lambda count=threads: count)
        assert part.contributions(matrix).tobytes() == whole.tobytes()


def test_no_rows_and_columns_in_any_order_of_memory() -> None:
    part, (matrix, _) = TreePart((fit(),)), loans()
    assert part.contributions(matrix[:0]).shape == (0, 7)
    turned = np.asfortranarray(matrix)
    np.testing.assert_array_equal(part.contributions(turned), part.contributions(matrix))


def test_above_the_budget_lightgbm_explains_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, (matrix, _) = fit(), loans()
    within = TreePart((text,))
    assert within.tables is not None
    needed = within.tables.plan.table.nbytes
    assert tables_within((text,), needed) is not None
    assert tables_within((text,), needed - 1) is None
    monkeypatch.setattr(trees, "TABLE_BUDGET_BYTES", needed - 1)
    above = TreePart((text,))
    assert above.explained_by == "pred_contrib"
    np.testing.assert_array_equal(above.contributions(matrix), reference(text, matrix))
    np.testing.assert_allclose(
        within.contributions(matrix), above.contributions(matrix), atol=1e-10
    )
    assert above.contributions(matrix[:0]).shape == (0, 7)


def test_a_path_over_more_features_than_a_pattern_holds_has_no_tables() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((3_000, 20))
    # A chain: each feature splits off a little of what the one before left.
    target = np.cumprod(matrix > 0.1, axis=1).sum(axis=1)
    shape = {"num_leaves": 40, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0}
    text = lgb.train(PLAIN | shape, lgb.Dataset(matrix, label=target), 1).model_to_string()
    part = TreePart((text,))
    assert part.explained_by == "pred_contrib"
    found = part.contributions(matrix[:50])
    np.testing.assert_allclose(found.sum(axis=1), part.score(matrix[:50]), atol=1e-9)


def test_what_cannot_be_explained_is_refused() -> None:
    matrix, target = loans(200)
    classes = lgb.train(
        PLAIN | {"objective": "multiclass", "num_class": 3},
        lgb.Dataset(matrix, label=np.arange(200) % 3),
        2,
    )
    forest = lgb.train(
        PLAIN | {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        lgb.Dataset(matrix, label=target),
        2,
    )
    for booster in (classes, forest):
        with pytest.raises(ModelsError, match="boosting = gbdt"):
            tables_within((booster.model_to_string(),), 10**9)
    linear = lgb.train(
        PLAIN | {"linear_tree": True}, lgb.Dataset(np.nan_to_num(matrix), label=target), 2
    )
    with pytest.raises(ModelsError, match="linear_tree = false"):
        tables_within((linear.model_to_string(),), 10**9)
    with pytest.raises(ModelsError, match="not a LightGBM model text"):
        tables_within(("tree\nversion=v3\n",), 10**9)
    text = fit()
    with pytest.raises(ModelsError, match="no training row passed"):
        tables_within((text.replace("internal_count=600", "internal_count=0"),), 10**9)
    tables = tables_within((text,), 10**9)
    assert tables is not None
    with pytest.raises(ModelsError, match="has 5 columns, the trees read 6"):
        tree_contributions(tables, matrix[:, :5])


def test_where_nothing_can_be_written_code_is_compiled_in_memory_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = numba.njit

    def read_only(function: Any, **options: Any) -> Any:
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return whole(function, **options)

    monkeypatch.setattr(numba, "njit", read_only)
    with caplog.at_level(logging.WARNING):
        doubled = tree_kernel._compiled(lambda x: 2 * x)
    assert doubled(21) == 42
    assert "NUMBA_CACHE_DIR" in caplog.text
