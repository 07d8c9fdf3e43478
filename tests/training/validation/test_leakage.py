"""A search for leaks: planted ones are named, honest features are not."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from features.targets import ULTIMATE
from training.dataset import TrainingSet
from training.validation.leakage import find_leaks

Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def honest(training_data: TrainingSet) -> tuple[pl.DataFrame, Array, NDArray[np.bool_]]:
    """Features of simulated loans, the rate of those watched for 12 months, the later fifth."""
    rate = training_data.outcomes["recovery_rate_12m"]
    known = rate.is_not_null()
    vintage = training_data.outcomes["vintage_date"].filter(known)
    judged = vintage >= vintage.quantile(0.8, interpolation="higher")
    assert ULTIMATE not in training_data.features.columns
    features = training_data.features.filter(known).drop("loan_id")
    return features, rate.filter(known).to_numpy(), judged.to_numpy()


def suspected(features: pl.DataFrame, rate: Array, judged: NDArray[np.bool_]) -> list[str]:
    return [p.feature for p in find_leaks(features, rate, judged) if p.suspicion is not None]


def test_honest_features_are_not_suspected(
    honest: tuple[pl.DataFrame, Array, NDArray[np.bool_]],
) -> None:
    assert suspected(*honest) == []


@pytest.mark.parametrize("kind", ["value", "category", "missing"])
def test_a_planted_leak_is_named(
    honest: tuple[pl.DataFrame, Array, NDArray[np.bool_]], kind: str
) -> None:
    features, rate, judged = honest
    rng = np.random.default_rng(30)
    noisy = rate + rng.normal(0, 0.3 * rate.std(), len(rate))
    if kind == "value":
        leaked = features.with_columns(final_balance=pl.Series(-noisy))
    elif kind == "category":
        codes = np.array(["lost", "part", "paid"])[np.digitize(noisy, [0.02, 0.15])]
        leaked = features.with_columns(status_code=pl.Series(codes))
    else:
        # A date of the last payment is there only where there was one.
        day = pl.Series(rng.uniform(0, 30, len(rate)))
        leaked = features.with_columns(last_payment_day=pl.when(pl.Series(noisy > 0.05)).then(day))
    new = set(leaked.columns) - set(features.columns)
    assert set(suspected(leaked, rate, judged)) == new


def test_a_feature_that_lifts_all_beyond_the_yardstick_is_named() -> None:
    rng = np.random.default_rng(31)
    known, leak, noise = (rng.normal(size=3_000) for _ in range(3))
    # Each alone tells less than 0.4; the honest one alone leaves the whole below 0.6.
    rate = 0.62 * known + 0.6 * leak + 0.5 * noise
    features = pl.DataFrame({"income": known, "leaked": leak, "other": rng.normal(size=3_000)})
    judged = np.arange(3_000) >= 2_000
    named = {p.feature: p.suspicion for p in find_leaks(features, rate, judged)}
    assert named["leaked"] is not None
    assert "without it" in named["leaked"]
    assert named["other"] is None
    weaker = 0.62 * known + 0.3 * leak + 0.8 * noise
    assert suspected(features, weaker, judged) == []


def test_too_few_loans_are_refused() -> None:
    with pytest.raises(ValueError, match="99 to learn from"):
        find_leaks(pl.DataFrame({"x": range(300)}), np.arange(300.0), np.arange(300) >= 99)
