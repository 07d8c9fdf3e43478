"""Rows to fit on: who counts, where, and with what weight."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from models.development import DevelopmentPattern
from models.resolution import ResolutionModel
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.labels import labels_of

MakeSet = Callable[..., TrainingSet]


def test_workouts_closed_early_do_not_enter_horizons_they_were_not_watched_for(
    set_of: MakeSet,
) -> None:
    # 120 loans watched for 30 months, open; 150 watched for 8, of which all closed in month 2.
    old, quick = 120, 150
    data = set_of(
        {"x": np.arange(270.0)},
        [0.2] * old + [0.9] * quick,
        timing="monthly",
        limit=60,
        watched=[30] * old + [8] * quick,
        closed=[None] * old + [2] * quick,
    )
    labels = labels_of(data, 8.0)
    assert isinstance(labels.timing, DevelopmentPattern)
    assert labels.timing.horizons_months == (6, 12, 24)
    # The open ones bring nothing after their sixth month, and the quick ones say nothing of later.
    assert labels.timing.overall == (1.0, 1.0, 1.0)
    assert labels.rate.tolist() == [0.2] * old + [0.9] * quick
    assert labels.features["loan_id"].to_list() == data.features["loan_id"].to_list()


def test_horizons_end_at_the_longest_workout(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(150.0)}, [0.2] * 150, timing="monthly", limit=24)
    timing = labels_of(data, 8.0).timing
    assert timing is not None
    assert timing.horizons_months == (6, 12, 24)


def test_a_loan_stands_at_the_last_horizon_it_was_watched_for(set_of: MakeSet) -> None:
    # Half of the ultimate comes by month 6: 200 loans show it, 150 younger ones have only that.
    data = set_of(
        {"x": np.arange(350.0)},
        [0.6] * 350,
        timing="monthly",
        limit=12,
        watched=[12] * 200 + [7] * 150,
    )
    half = pl.when(pl.lit(True)).then(pl.col("recovery_rate_06m") / 2).alias("recovery_rate_06m")
    labels = labels_of(replace(data, outcomes=data.outcomes.with_columns(half)), 8.0)
    np.testing.assert_allclose(labels.rate, [0.6] * 200 + [0.3] * 150)
    np.testing.assert_allclose(labels.share, [1.0] * 200 + [0.5] * 150)


@pytest.mark.parametrize("limit", [None, 30])
def test_dated_cash_needs_a_longest_workout_among_the_horizons(
    set_of: MakeSet, limit: int | None
) -> None:
    data = set_of({"x": np.arange(150.0)}, [0.2] * 150, timing="monthly", limit=limit)
    with pytest.raises(TrainingError, match=f"max_workout_months is {limit}"):
        labels_of(data, 8.0)


def test_a_vintage_one_half_life_older_weighs_half(set_of: MakeSet) -> None:
    days = [0] * 50 + [730] * 50 + [1461] * 50  # about two years apart
    data = set_of({"x": np.arange(150.0)}, [0.2] * 150, days=days)
    weight = labels_of(data, 2.0).weight
    assert weight.mean() == pytest.approx(1)
    assert weight[0] / weight[60] == pytest.approx(0.5, abs=0.001)
    assert weight[0] / weight[120] == pytest.approx(0.25, abs=0.001)


@pytest.mark.parametrize("timing", ["none", "monthly", "resolution"])
def test_too_few_outcomes_are_refused(set_of: MakeSet, timing: str) -> None:
    data = set_of({"x": np.arange(99.0)}, [0.2] * 99, timing=timing, limit=60, closed=[3] * 99)
    with pytest.raises(TrainingError, match="99 loans have a known outcome, 100 are needed"):
        labels_of(data, 8.0)


def test_single_payments_keep_open_loans_with_what_they_are_expected_to_bring(
    set_of: MakeSet,
) -> None:
    rng = np.random.default_rng(5)
    months, watched = rng.integers(1, 49, 2_000), rng.integers(1, 60, 2_000)
    rate = 0.8 - 0.012 * months
    closed = [int(m) if m <= w else None for m, w in zip(months, watched, strict=True)]
    data = set_of(
        {"x": rng.normal(size=2_000)},
        rate,
        timing="resolution",
        watched=watched,
        closed=closed,
    )
    labels = labels_of(data, 1e6)
    resolved = months <= watched
    assert len(labels.rate) > 0.95 * 2_000
    kept = labels.features["loan_id"].str.slice(1).cast(int).to_numpy()
    np.testing.assert_array_equal(labels.rate[resolved[kept]], rate[kept][resolved[kept]])
    truth = 0.8 - 0.012 * 24.5
    assert abs(np.average(labels.rate, weights=labels.weight) - truth) < 0.02
    assert rate[resolved].mean() - truth > 0.05
    assert isinstance(labels.timing, ResolutionModel)
    assert labels.timing.horizons_months == (6, 12, 24, 36, 48)
    shares = labels.timing.shares(data.features).mean(axis=0)
    np.testing.assert_allclose(shares, np.array([6, 12, 24, 36, 48]) / 48, atol=0.05)


def test_undated_labels_are_the_known_outcomes(set_of: MakeSet) -> None:
    rate = np.linspace(0, 1, 150)
    data = set_of({"x": np.arange(150.0)}, rate)
    labels = labels_of(data, 8.0)
    np.testing.assert_array_equal(labels.rate, rate)
    np.testing.assert_array_equal(labels.share, np.ones(150))
    assert labels.timing is None


@pytest.mark.parametrize(("worst", "link"), [(1.0, "logit"), (1.4, "logit"), (2.0, "identity")])
def test_rates_that_leave_the_unit_interval_by_much_are_modelled_as_they_are(
    set_of: MakeSet, worst: float, link: str
) -> None:
    # One in a hundred at `worst`: clipped away on average are 0, 0.004 and 0.010.
    rate = np.where(np.arange(200) % 100 == 0, worst, 0.3)
    assert labels_of(set_of({"x": np.arange(200.0)}, rate), 8.0).link == link
