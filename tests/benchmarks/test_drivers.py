"""Leading factors against the simulator's truth, and the split of joint effects by definition."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.drivers import DRIVERS, NOTHING, SEGMENT, TOGETHER, _shared_out, agreement
from features.pipeline import CANONICAL
from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from features.sources.simulated_frames import EXTRA_FIELDS
from models.recovery import RecoveryModel
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Portfolio:
    folder = tmp_path_factory.mktemp("drivers") / "portfolio"
    simulate(folder, 5_000, 7)
    return read_portfolio(folder)


@pytest.fixture(scope="module")
def model(portfolio: Portfolio) -> RecoveryModel:
    return fit_recovery(training_set(portfolio), FitSettings())


def test_the_leading_factors_are_the_true_drivers(
    model: RecoveryModel, portfolio: Portfolio
) -> None:
    found = agreement(model, portfolio)
    assert found.table.height == len(DRIVERS) + 2
    assert found.table["factor"][0] == SEGMENT
    # A quarter of the loans and shallow trees; docs/explanations.md has 20,000 and deep ones.
    assert found.leading > 0.8
    nothing = found.table.row(by_predicate=pl.col("factor") == NOTHING, named=True)
    assert nothing["true_points"] == 0.0
    assert nothing["model_points"] < 0.02


def test_a_model_with_its_weights_on_other_features_does_not_agree(
    model: RecoveryModel, portfolio: Portfolio
) -> None:
    columns = model.linear.columns
    weights = np.random.default_rng(0).permutation([column.weight for column in columns])
    other = model.linear.model_copy(
        update={
            "columns": tuple(
                column.model_copy(update={"weight": float(weight)})
                for column, weight in zip(columns, weights, strict=True)
            )
        }
    )
    wrong = replace(model, linear=other, linear_weight=1.0, tree_weight=0.0)
    assert agreement(wrong, portfolio).leading < 0.5


def test_every_feature_is_carried_by_one_factor_and_bears_a_known_name() -> None:
    carried = [name for _, own in DRIVERS.values() for name in own]
    assert len(carried) == len(set(carried))
    known = {f.name for f in CANONICAL} | {x.name for x in EXTRA_FIELDS}
    assert set(carried) <= known


def test_a_joint_effect_is_shared_as_shapley_does() -> None:
    rng = np.random.default_rng(3)
    contact, age = rng.integers(0, 2, 400).astype(float), rng.normal(1, 0.5, 400)
    segment = np.zeros(400, dtype=np.intp)
    zero = np.zeros(400)
    names = {name for own, _ in DRIVERS.values() for name in own} | set(TOGETHER)
    columns = dict.fromkeys(names, zero) | {
        "contactable": 0.8 * contact - 0.4,
        "months_since_default": -0.5 * age,
        "contactable_by_age": -0.18 * contact * age + 0.07,
    }
    effects = pl.DataFrame({"loan_id": [str(n) for n in range(400)], **columns})
    found = _shared_out(effects, segment)
    # Shapley of a product of two features: half at the other's own value, half at its mean.
    own = -0.18 * (contact - contact.mean()) * (age + age.mean()) / 2
    moved = (found["contactable"] - effects["contactable"]).to_numpy()
    covariance = np.mean((contact - contact.mean()) * (age - age.mean()))
    np.testing.assert_allclose(moved - moved.mean(), own + 0.09 * covariance, atol=1e-9)
    total = sum(found[name] for name in found.columns[1:])
    before = sum(effects[name] for name in effects.columns[1:])
    assert total.to_numpy() == pytest.approx(before.to_numpy(), abs=1e-9)  # type: ignore[union-attr]
