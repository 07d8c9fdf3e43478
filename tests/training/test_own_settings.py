"""Settings of one's own: trees by value, factor groups left out, what cannot be grown refused."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from features.pipeline import build_features
from features.portfolio import Portfolio
from models.recovery import RecoveryModel
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.fit import fit_candidates, fit_recovery
from training.settings import PRESETS, FitSettings, TreeSettings

MakeSet = Callable[..., TrainingSet]
QUICK = TreeSettings(10, 1, 0.2, 6, 15, 20, 1.0, 0.8)


@pytest.fixture(scope="module")
def without_legal(training_data: TrainingSet) -> RecoveryModel:
    groups = tuple(g for g in training_data.spec.groups if g not in ("legal", "region"))
    return fit_recovery(training_data, FitSettings(QUICK, 0.5, groups=groups))


def test_a_preset_is_its_settings_by_another_name(set_of: MakeSet) -> None:
    rng = np.random.default_rng(1)
    data = set_of({"x": rng.normal(size=300)}, rng.random(300))
    by_name, by_value = FitSettings("shallow"), FitSettings(PRESETS["shallow"])
    fitted = fit_candidates(data, [by_name, by_value])
    assert fitted[by_name] == fitted[by_value]
    assert by_value.as_document()["tree_settings"] == by_name.as_document()["tree_settings"]
    assert (by_name.trees_name, by_value.trees_name) == ("shallow", "tuned")


def test_a_model_asks_a_tape_only_for_the_groups_it_reads(
    simulated: Portfolio, training_data: TrainingSet, without_legal: RecoveryModel
) -> None:
    spec = without_legal.spec
    assert set(spec.groups) == set(training_data.spec.groups) - {"legal", "region"}
    assert {x.name for x in spec.extra_fields} <= set(spec.names)
    # A tape that never had the others is enough, and scores to the same bits.
    legal = [d.name for d in training_data.spec.definitions if d.group in ("legal", "region")]
    names = simulated.tape.collect_schema().names()
    bare = simulated.tape.drop([name for name in legal if name in names])
    features = build_features(bare, simulated.ledger, spec).collect()
    assert features.columns == ["loan_id", *spec.names]
    ours, curve = without_legal.forecast(features)
    # Columns the model was not fitted on move nothing: not the rate, not the timing's segments.
    theirs, other = without_legal.forecast(training_data.features)
    assert (ours == theirs).all()
    assert (curve == other).all()
    assert curve.shape[1] > 0


def test_contributions_are_of_the_groups_alone(
    training_data: TrainingSet, without_legal: RecoveryModel
) -> None:
    why = without_legal.contributions(training_data.features.head(50))
    assert list(why.names) == without_legal.spec.names
    whole = why.base_rate + why.rate_points.sum(axis=1)
    rate = without_legal.recovery_rate(training_data.features.head(50))
    assert np.abs(whole - rate).max() < 1e-9


def test_a_group_that_does_not_exist_is_refused(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(300.0)}, np.linspace(0, 1, 300))
    with pytest.raises(TrainingError, match="legal, of which this portfolio has no feature"):
        fit_recovery(data, FitSettings(QUICK, groups=("age", "legal")))
    with pytest.raises(ValueError, match="groups"):
        FitSettings(groups=())


def test_leaves_hold_as_many_loans_as_was_asked(set_of: MakeSet) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=400)
    data = set_of({"x": x}, np.clip(0.5 + 0.3 * x, 0, 1), days=np.zeros(400))
    smallest = []
    for least in (5, 120):
        trees = replace(QUICK, num_leaves=60, min_data_in_leaf=least, bagging_fraction=1.0)
        # LightGBM counts rows by their curvature, which is 1 on the identity alone.
        model = fit_recovery(data, FitSettings(trees, 0.0, link="identity"))
        leaves = pl.DataFrame(model.trees.boosters[0].trees_to_dataframe()).filter(
            pl.col("left_child").is_null()
        )
        smallest.append(int(leaves["count"].to_numpy().min()))
    # By default LightGBM asks for 20: both are told apart from it.
    assert 5 <= smallest[0] < 20
    assert smallest[1] >= 120
    with pytest.raises(TrainingError, match="min_data_in_leaf 300"):
        fit_recovery(data, FitSettings(replace(QUICK, min_data_in_leaf=300)))


@pytest.mark.parametrize(
    "bad",
    [
        {"max_depth": 9},
        {"num_leaves": 1},
        {"min_data_in_leaf": 0},
        {"feature_fraction": 0.0},
        {"bagging_fraction": 1.1},
        {"learning_rate": 0.0},
        {"lambda_l2": -1.0},
        {"rounds": 0},
    ],
)
def test_tree_settings_outside_their_ranges_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        replace(QUICK, **bad)  # type: ignore[arg-type]
