"""Which features say too much: a leak is called out, noise and honest features are not."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from training.backtest_features import Judging, feature_rows, filled_gap
from training.dataset import TrainingSet

MakeSet = Callable[..., TrainingSet]


def sides(set_of: MakeSet, seed: int) -> tuple[TrainingSet, TrainingSet]:
    """Earlier and later loans: one leak, one honest feature, one that is noise."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=2_000)
    rate = 1 / (1 + np.exp(-(-1 + 0.6 * honest + rng.normal(0, 1.5, 2_000))))
    data = set_of(
        {
            "honest": honest,
            "leak": rate + rng.normal(0, 0.1, 2_000),
            "noise": rng.normal(size=2_000),
            "code": np.where(rate > 0.5, "paid", "unpaid").tolist(),
        },
        rate,
        days=np.arange(2_000),
    )
    early = data.outcomes["vintage_date"].rank("ordinal") <= 1_000
    return data.rows(early), data.rows(~early)


def test_a_feature_made_of_the_outcome_is_called_out(set_of: MakeSet) -> None:
    train, test = sides(set_of, 1)
    found = feature_rows(Judging(train, test, None), test)
    flags = dict(found.select("feature", "leak_flag").iter_rows())
    assert flags == {"leak": True, "code": True, "honest": False, "noise": False}
    assert found["feature"][0] in ("leak", "code")
    assert found.filter(pl.col("feature") == "leak")["leak_reason"][0]


def test_with_few_later_outcomes_no_power_is_told(set_of: MakeSet) -> None:
    train, test = sides(set_of, 1)
    few = test.rows(pl.int_range(1_000, eager=True) < 99)
    found = feature_rows(Judging(train, few, None), test)
    assert found["power_r2"].null_count() == 4
    assert not found["leak_flag"].any()


def test_loans_of_another_kind_show_in_the_stability(set_of: MakeSet) -> None:
    train, test = sides(set_of, 2)
    moved = TrainingSet(
        test.meta, test.spec, test.features.with_columns(pl.col("noise") + 1), test.outcomes
    )
    found = feature_rows(Judging(train, test, None), moved)
    beyond = found.filter(pl.col("psi") > 3 * pl.col("psi_chance_limit"))
    assert beyond["feature"].to_list() == ["noise"]


def test_a_field_filled_in_when_a_workout_closes_has_a_gap(set_of: MakeSet) -> None:
    rng = np.random.default_rng(3)
    count = 1_000
    data = set_of(
        {
            # There for four in five of the closed, and for none of the open.
            "late": [1.0 if n % 2 and n % 10 != 1 else None for n in range(count)],
            "there": rng.normal(size=count),
        },
        rng.random(count),
        timing="monthly",
        limit=60,
        watched=24,
        closed=[12 if n % 2 else None for n in range(count)],
        days=np.arange(count) // 3,
    )
    assert filled_gap(data, "late") == pytest.approx(0.8)
    assert filled_gap(data, "there") == 0


def test_the_others_are_judged_without_the_leak(set_of: MakeSet) -> None:
    rng = np.random.default_rng(4)
    secured = rng.random(2_000) < 0.5
    rate = 0.6 * rng.random(2_000) + 0.2 * secured
    # The leak has shifted for secured loans since, so that what it leaves open goes with them.
    leak = rate + np.where(secured & (np.arange(2_000) >= 1_000), 0.3, 0.0)
    lien = [1.0 + rng.random() if one else None for one in secured]
    # What the class of a loan tells is told by another feature too.
    told = secured + rng.normal(0, 0.3, 2_000)
    data = set_of({"lien": lien, "leak": leak, "told": told}, rate)
    early = pl.int_range(2_000, eager=True) < 1_000
    found = feature_rows(Judging(data.rows(early), data.rows(~early), None), data.rows(~early))
    flags = dict(found.select("feature", "leak_flag").iter_rows())
    assert flags == {"leak": True, "lien": False, "told": False}
