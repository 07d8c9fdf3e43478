"""The comparison: every baseline at the table, judged on what was watched, on the same loans."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from features.portfolio import Portfolio
from models import baselines
from models.recovery import RecoveryModel
from training import evaluation
from training.dataset import TrainingSet, training_set
from training.errors import TrainingError
from training.evaluation import OURS, compare, held_out
from training.fit import fit_recovery
from training.settings import FitSettings

MakeSet = Callable[..., TrainingSet]
BASELINES = [
    "overall mean",
    "segment mean",
    "age curve",
    "fractional logit",
    "random forest",
    "LightGBM, defaults",
]


@pytest.fixture(scope="module")
def sides(set_of: MakeSet) -> tuple[TrainingSet, TrainingSet]:
    rng = np.random.default_rng(21)
    x = rng.normal(size=400)
    group = np.where(rng.random(400) < 0.5, "a", "b")
    rate = np.clip(0.3 + 0.1 * x + 0.2 * (group == "a") + rng.normal(0, 0.1, 400), 0, 1)
    data = set_of({"x": x, "asset_class": group.tolist()}, rate)
    return data.between(None, date(2010, 10, 28)), data.between(date(2010, 10, 28), None)


@pytest.fixture
def _quick_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(evaluation.RIVALS, "random forest", baselines.overall_mean)


def test_the_model_beside_every_baseline(sides: tuple[TrainingSet, TrainingSet]) -> None:
    train, test = sides
    assert (train.features.height, test.features.height) == (300, 100)
    table = compare(fit_recovery(train, FitSettings()), train, test)
    assert [one.name for one in table] == [OURS, *BASELINES]
    by_name = {one.name: one for one in table}
    actual = test.outcomes["recovery_rate_ultimate"].to_numpy()
    for one in table:
        assert one.accuracy.loans == 100
        assert one.accuracy.rmse == pytest.approx(np.sqrt(np.mean((one.forecast - actual) ** 2)))
    mean = by_name["overall mean"]
    np.testing.assert_allclose(
        mean.forecast, train.outcomes["recovery_rate_ultimate"].to_numpy().mean()
    )
    # No constant beats the judged loans' own mean.
    assert mean.accuracy.r2 <= 0
    assert np.isnan(mean.accuracy.spearman)
    # The truth is additive: the logit finds it, and so do we.
    assert by_name["fractional logit"].accuracy.r2 > 0.5
    assert by_name[OURS].accuracy.r2 > 0.5


@pytest.mark.usefixtures("_quick_forest")
def test_dated_cash_is_judged_at_a_horizon_beside_the_chain_ladder(
    training_data: TrainingSet, dated_model: RecoveryModel
) -> None:
    middle = date(2021, 1, 1)
    train, test = training_data.between(None, middle), training_data.between(middle, None)
    table = compare(dated_model, train, test, horizon_months=12)
    assert [one.name for one in table] == [OURS, *BASELINES, "chain-ladder"]
    watched = test.outcomes.filter(pl.col("observed_months") >= 12)
    assert {one.accuracy.loans for one in table} == {watched.height}
    assert watched.height < test.features.height
    ladder = table[-1].forecast
    # Every training vintage was watched for twelve months: developing adds nothing, and the
    # forecast is what each asset class has brought, by exposure.
    whole = train.outcomes.with_columns(train.features["asset_class"]).filter(
        pl.col("observed_months") >= 12
    )
    assert whole.height == train.features.height
    paid = whole.group_by("asset_class").agg(
        rate=(pl.col("recovery_rate_12m") * pl.col("ead_amount")).sum() / pl.col("ead_amount").sum()
    )
    segments = held_out(test, 12)[0].features.select("asset_class")
    expected = segments.join(paid, on="asset_class", how="left", maintain_order="left")["rate"]
    np.testing.assert_allclose(ladder, expected, rtol=1e-9)


@pytest.mark.usefixtures("_quick_forest")
def test_a_segment_too_thin_to_develop_takes_the_overall_curve(set_of: MakeSet) -> None:
    # One loan of a class that brought nothing, and one of a class not yet watched to the horizon.
    count = 300
    rng = np.random.default_rng(2)
    features = {
        "x": rng.normal(size=count),
        "asset_class": ["barren", "young"] + ["usual"] * (count - 2),
    }
    rate = [0.0, 0.4] + [0.2] * (count - 2)
    then, now = (
        set_of(
            features, rate, timing="monthly", limit=24, watched=[40, months] + [40] * (count - 2)
        )
        for months in (8, 40)
    )
    ladder = compare(fit_recovery(then, FitSettings()), then, now, 12)[-1]
    assert ladder.name == "chain-ladder"
    assert ladder.forecast[-1] == pytest.approx(0.2)
    assert ladder.forecast[0] == ladder.forecast[1] == pytest.approx(0.2, abs=0.01)


def test_held_out_loans_are_those_watched_to_the_horizon(set_of: MakeSet) -> None:
    data = set_of(
        {"x": np.arange(6.0)},
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        timing="monthly",
        limit=24,
        watched=[24, 24, 11, 11, 12, 13],
        closed=[None, 3, 3, None, None, 2],
    )
    judged, actual = held_out(data, 12)
    assert judged.features["x"].to_list() == [0.0, 1.0, 4.0, 5.0]
    assert actual.tolist() == [0.1, 0.2, 0.5, 0.6]
    # The ultimate is known of those closed and of those watched for the longest workout.
    assert held_out(data, None)[1].tolist() == [0.1, 0.2, 0.3, 0.6]
    with pytest.raises(TrainingError, match=r"0 loans on one side .* recovery_rate_48m"):
        held_out(data.rows(pl.Series([False] * 6)), 48)


def test_training_sets_are_in_step(simulated: Portfolio) -> None:
    order = np.random.default_rng(5).permutation(2_000)
    shuffled = simulated.with_tables(simulated.tape.collect()[order].lazy(), simulated.ledger)
    data = training_set(shuffled)
    assert data.features["loan_id"].equals(data.outcomes["loan_id"])
    assert data.outcomes["vintage_date"].equals(data.outcomes["cut_off_date"], check_names=False)
    early = data.between(None, date(2018, 1, 1))
    assert early.features.height == (data.outcomes["vintage_date"] < date(2018, 1, 1)).sum()
    assert early.ead.shape == (early.features.height,)
