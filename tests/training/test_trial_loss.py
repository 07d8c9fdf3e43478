"""The loss of a trial: by hand, with a gap, and blind to what came later."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.dataset import TrainingSet
from training.errors import TrainingError
from training.settings import PRESETS, FitSettings
from training.trial_loss import (
    FoldForecast,
    LossGain,
    forecast_fold,
    loss_gain,
    total_loss,
    trial_folds,
)

MakeSet = Callable[..., TrainingSet]
QUICK = FitSettings(replace(PRESETS["shallow"], rounds=5, bags=1))
ULTIMATE = "recovery_rate_ultimate"


def month(day: object) -> int:
    assert isinstance(day, date)
    return day.year * 12 + day.month


def first_days(months: np.ndarray) -> list[int]:
    """First of each month, in days after 2010-01-01."""
    start = date(2010, 1, 1)
    return [(date(2010 + int(m) // 12, int(m) % 12 + 1, 1) - start).days for m in months]


@settings(deadline=None, max_examples=20)
@given(lag=st.integers(0, 9), span=st.integers(36, 90), seed=st.integers(0, 99))
def test_a_gap_of_the_reporting_lag_or_a_quarter_lies_between_the_sides(
    set_of: MakeSet, lag: int, span: int, seed: int
) -> None:
    months = np.sort(np.random.default_rng(seed).integers(0, span, 700))
    data = set_of({"x": np.arange(700.0)}, np.linspace(0, 1, 700), days=first_days(months))
    data = replace(data, meta=data.meta.model_copy(update={"reporting_lag_months": lag}))
    found = trial_folds(data)
    assert found.gap_months == max(lag, 3)
    for train, test in found.folds:
        newest, oldest = train.outcomes["vintage_date"].max(), test.outcomes["vintage_date"].min()
        # Whole months of vintages, none of them on either side.
        assert month(oldest) - month(newest) > found.gap_months
    blocks = [set(test.features["loan_id"]) for _, test in found.folds]
    assert sum(map(len, blocks)) == len(set().union(*blocks))


def test_outcomes_of_later_vintages_change_no_earlier_loss(set_of: MakeSet) -> None:
    rng = np.random.default_rng(1)
    data = set_of({"x": rng.normal(size=800)}, rng.random(800), days=np.arange(800) * 3)
    before = trial_folds(data)
    losses = [forecast_fold(before, place, QUICK).loss for place in range(len(before))]
    for place in range(len(before)):
        later = pl.col("vintage_date") > before.folds[place][1].outcomes["vintage_date"].max()
        changed = pl.when(later).then(0.5).otherwise(ULTIMATE).alias(ULTIMATE)
        after = trial_folds(replace(data, outcomes=data.outcomes.with_columns(changed)))
        found = [forecast_fold(after, other, QUICK).loss for other in range(len(after))]
        # Up to this block nothing is different; in the next one it is.
        assert found[: place + 1] == losses[: place + 1]
        assert all(a != b for a, b in zip(found[place + 1 :], losses[place + 1 :], strict=True))


def test_dated_outcomes_are_known_as_on_the_folds_own_day(set_of: MakeSet) -> None:
    rng = np.random.default_rng(5)
    data = set_of(
        {"x": rng.normal(size=1_200)},
        rng.integers(0, 2, 1_200),
        timing="monthly",
        watched=60,
        days=np.arange(1_200) * 2,
        limit=60,
    )
    found = trial_folds(data)
    assert found.horizon_months is not None
    for train, test in found.folds:
        day = test.outcomes["cut_off_date"].min()
        assert isinstance(day, date)
        for cut_off, observed in train.outcomes.select("cut_off_date", "observed_months").rows():
            passed = (day.year - cut_off.year) * 12 + day.month - cut_off.month
            assert observed <= passed


def _fold(rng: np.random.Generator, loans: int, bias: float) -> FoldForecast:
    actual = rng.random(loans)
    return FoldForecast(
        actual=actual,
        forecast=np.clip(actual + rng.normal(bias, 0.2, loans), 0.01, None),
        ead=rng.lognormal(8, 1, loans),
        quarter=np.arange(loans) // 10,
        of_mean=float(np.sum((actual - 0.5) ** 2)),
    )


def test_the_loss_by_hand() -> None:
    fold = FoldForecast(
        actual=np.array([0.2, 0.6]),
        forecast=np.array([0.4, 0.4]),
        ead=np.array([100.0, 300.0]),
        quarter=np.array([0, 0]),
        of_mean=0.16,
    )
    # Squared 0.04 + 0.04; cash 20 + 180 against 40 + 120.
    assert fold.loss.squared == pytest.approx(0.08)
    assert fold.loss.deviation == pytest.approx(0.25)
    assert total_loss([fold.loss]) == pytest.approx(0.08 / 0.16 + 0.25**2)


def test_the_noise_of_a_gain_is_that_of_resampled_loans() -> None:
    rng = np.random.default_rng(8)
    first = [_fold(rng, 400, 0.0), _fold(rng, 300, 0.05)]
    second = [
        replace(f, forecast=np.clip(f.forecast + rng.normal(0, 0.05, len(f.forecast)), 0.01, None))
        for f in first
    ]
    found = loss_gain(first, second)
    gain, error = found.gain, found.standard_error

    def taken(fold: FoldForecast, rows: np.ndarray) -> FoldForecast:
        return replace(
            fold, actual=fold.actual[rows], forecast=fold.forecast[rows], ead=fold.ead[rows]
        )

    samples = []
    for _ in range(600):
        rows = [rng.integers(0, len(f.actual), len(f.actual)) for f in first]
        one = [taken(f, r).loss for f, r in zip(first, rows, strict=True)]
        two = [taken(f, r).loss for f, r in zip(second, rows, strict=True)]
        samples.append(total_loss(one) - total_loss(two))
    assert gain == pytest.approx(
        total_loss([f.loss for f in first]) - total_loss([f.loss for f in second])
    )
    # Loans were drawn one by one, so quarters add nothing but their own roughness.
    assert error == pytest.approx(float(np.std(samples)), rel=0.25)


def test_a_gain_made_in_one_quarter_is_one_observation() -> None:
    actual = np.full(400, 0.5)
    forecast = np.full(400, 0.4)
    better = np.where(np.arange(400) < 100, 0.5, 0.4)
    first = FoldForecast(actual, forecast, np.ones(400), np.arange(400) // 100, 40.0)
    second = replace(first, forecast=better)
    found = loss_gain([first], [second])
    assert found.quarters == 4
    assert found.gain > 0
    assert not found.beyond_noise
    scattered = replace(first, quarter=np.arange(400) % 100)
    other = loss_gain([scattered], [replace(second, quarter=scattered.quarter)])
    assert other.gain == found.gain
    assert other.standard_error < found.standard_error / 3
    assert other.beyond_noise


@pytest.mark.parametrize(
    ("quarters", "errors"), [(2, 12.71), (3, 4.303), (11, 2.228), (1_000, 1.962)]
)
def test_few_quarters_ask_for_more(quarters: int, errors: float) -> None:
    # Two-sided 5% of Student's t, from its printed table.
    assert not LossGain(errors - 0.01, 1.0, quarters).beyond_noise
    assert LossGain(errors + 0.01, 1.0, quarters).beyond_noise
    assert not LossGain(1e9, 0.0, 1).beyond_noise


def test_vintages_too_few_for_a_gap_are_refused(set_of: MakeSet) -> None:
    data = set_of({"x": np.arange(400.0)}, np.linspace(0, 1, 400), days=np.arange(400) // 8)
    with pytest.raises(TrainingError, match="3 months apart"):
        trial_folds(data)
