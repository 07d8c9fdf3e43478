"""The whole backtest on simulated loans: no hindsight, every loan accounted for, the same again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.check import check_portfolio
from features.months import month_number
from features.portfolio import Portfolio
from features.targets import realised_recovery
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training import settings
from training.backtest import Backtest, backtest, headline_months
from training.backtest_schema import check_backtest
from training.backtest_tables import TABLES, long_table, write_tables

DAYS = [date(2019, 12, 31), date(2020, 12, 31)]


@pytest.fixture(scope="module")
def quick_trees() -> Iterator[None]:
    presets = dict(settings.PRESETS)
    settings.PRESETS.update(
        {name: replace(tree, rounds=10, bags=1) for name, tree in presets.items()}
    )
    yield
    settings.PRESETS.update(presets)


def walked(portfolio: Portfolio, current: RecoveryModel) -> Backtest:
    return backtest(check_portfolio(portfolio), current=current, days=DAYS)


@pytest.fixture(scope="module")
def found(quick_trees: None, simulated: Portfolio, dated_model: RecoveryModel) -> Backtest:
    return walked(simulated, dated_model)


def told_then(one: Backtest) -> pl.DataFrame:
    """What the walk-forward models said; not what came of it."""
    return (
        one.forecasts.filter(pl.col("model_view") == "walk_forward")
        .select(
            "loan_id",
            "window",
            "forecast_of",
            "reference_date",
            "known_on",
            "fold",
            "ead_amount",
            "^forecast_(rate|p).*$",
            "interval_months",
        )
        .sort("loan_id", "window", "forecast_of", "reference_date")
    )


def test_what_happens_later_changes_no_forecast_of_the_past(
    found: Backtest, simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    day = DAYS[-1]
    cut_offs = simulated.tape.select("loan_id", "snapshot_date")
    later = (pl.col("recorded_at").dt.date() > day) & (
        month_number(pl.col("period")) > month_number(pl.col("snapshot_date"))
    )
    ledger = (
        simulated.ledger.join(cut_offs, on="loan_id", how="left", maintain_order="left")
        .with_columns(pl.when(later).then(pl.col("gross_amount") * 3).otherwise("gross_amount"))
        .drop("snapshot_date")
    )
    closed_later = pl.col("closed_date") > day
    tape = simulated.tape.with_columns(
        closed_date=pl.when(~closed_later.fill_null(False)).then("closed_date"),
    )
    other = walked(simulated.with_tables(tape, ledger), dated_model)
    assert told_then(other).equals(told_then(found))
    # The future did change.
    came = [one.originals.sort("loan_id")["actual_rate_24m"] for one in (found, other)]
    assert not came[0].equals(came[1])


def test_later_loans_change_no_forecast_of_the_past(
    found: Backtest, simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    later = pl.col("snapshot_date") > DAYS[-1]
    tape = simulated.tape.with_columns(
        pl.when(later).then(pl.col("principal_outstanding") * 2).otherwise("principal_outstanding"),
        asset_class=pl.when(later).then(pl.lit("corporate")).otherwise("asset_class"),
    )
    other = walked(simulated.with_tables(tape, simulated.ledger), dated_model)
    earlier = found.forecasts.filter(pl.col("vintage_date") <= DAYS[-1])["loan_id"].unique()
    ours, theirs = (
        told_then(one).filter(pl.col("loan_id").is_in(earlier.implode())) for one in (found, other)
    )
    assert ours.height > 0
    assert theirs.equals(ours)


def test_an_original_is_scored_by_a_model_of_an_earlier_day(found: Backtest) -> None:
    own = found.originals
    assert (own["known_on"] < own["reference_date"]).all()
    assert (own["reference_date"] == own["vintage_date"]).all()
    again = found.forecasts.filter(pl.col("forecast_of") == "reforecast")
    assert (again["vintage_date"] <= again["reference_date"]).all()
    walked_again = again.filter(pl.col("model_view") == "walk_forward")
    assert (walked_again["known_on"] == walked_again["reference_date"]).all()
    assert (found.folds["train_to"] <= found.folds["reference_date"]).all()


def test_actuals_are_those_of_the_ledger(found: Backtest, simulated: Portfolio) -> None:
    realised = realised_recovery(simulated).collect()
    joined = found.originals.join(realised, on="loan_id", how="left", suffix="_realised")
    watched = joined.filter(pl.col("observed_months_realised") >= 24)
    assert watched.height > 100
    assert watched["actual_rate_24m"].equals(watched["recovery_rate_24m"].rename("actual_rate_24m"))
    assert joined.filter(pl.col("observed_months_realised") < 24)["actual_rate_24m"].null_count()
    assert (joined["is_resolved"] == joined["is_resolved_realised"]).all()
    # Exposure at a later date is what is left of it then.
    day = DAYS[0]
    again = found.forecasts.filter(
        pl.col("forecast_of") == "reforecast", pl.col("reference_date") == day
    ).filter(pl.col("window") == "expanding")
    rebased = realised_recovery(
        simulated.with_tables(
            simulated.tape.filter(pl.col("snapshot_date") <= day), simulated.ledger
        ),
        cut_off_date=day,
    ).collect()
    both = again.join(rebased, on="loan_id", how="left", suffix="_rebased")
    assert (both["ead_amount"] == both["ead_amount_rebased"]).all()


def test_todays_model_tells_what_scoring_tells(
    found: Backtest, simulated: Portfolio, dated_model: RecoveryModel
) -> None:
    scores = score_loans(dated_model, simulated.tape, simulated.ledger)
    own = found.forecasts.filter(
        pl.col("model_view") == "current_model", pl.col("forecast_of") == "original"
    ).join(scores, on="loan_id", how="left")
    assert own["forecast_rate_12m"].equals(own["recovery_rate_12m"].rename("forecast_rate_12m"))


def cents(amounts: pl.Series) -> int:
    return int((amounts * 100).round().cast(pl.Int64).sum())


def test_every_loan_is_accounted_for_to_the_cent(found: Backtest, simulated: Portfolio) -> None:
    assert found.funnel["loans"].sum() == 2_000
    scored = found.funnel.filter(pl.col("step") == "forecast")
    assert scored["loans"].sum() == found.originals.height
    assert cents(scored["ead_amount"]) == cents(found.originals["ead_amount"])
    exposure = realised_recovery(simulated).select("ead_amount").collect()["ead_amount"]
    assert cents(found.funnel["ead_amount"]) == cents(exposure)
    by_class = found.originals.group_by("asset_class").agg(pl.col("ead_amount").sum(), pl.len())
    assert by_class["len"].sum() == found.originals.height
    assert cents(by_class["ead_amount"]) == cents(found.originals["ead_amount"])


def test_intervals_hold_most_outcomes_of_the_second_fold(found: Backtest) -> None:
    first, second = (found.originals.filter(pl.col("fold") == fold) for fold in (0, 1))
    assert first["interval_months"].null_count() == first.height
    months = second["interval_months"].unique().to_list()
    assert months == [6]  # a year later, loans of the year had been watched for six months
    judged = second.drop_nulls("actual_rate_06m")
    inside = judged["actual_rate_06m"].is_between(
        judged["forecast_p10_rate"], judged["forecast_p90_rate"]
    )
    assert 0.65 < float(inside.to_numpy().mean()) < 0.95


def test_estimates_are_outcomes_where_resolved_and_more_than_came_where_open(
    found: Backtest,
) -> None:
    resolved = found.originals.filter(pl.col("is_resolved"))
    assert resolved["estimated_rate"].equals(resolved["actual_rate"].rename("estimated_rate"))
    still = found.originals.filter(~pl.col("is_resolved")).drop_nulls("actual_to_date_rate")
    assert still.height > 50
    estimated, came = still["estimated_rate"].to_numpy(), still["actual_to_date_rate"].to_numpy()
    assert (estimated >= came - 1e-12).all()
    assert float(np.mean(estimated - came)) > 0.01


def test_the_same_data_give_the_same_bytes(
    found: Backtest, simulated: Portfolio, dated_model: RecoveryModel, tmp_path: Path
) -> None:
    shuffled = simulated.tape.collect().sample(fraction=1.0, shuffle=True, seed=3)
    again = walked(simulated.with_tables(shuffled.lazy(), simulated.ledger), dated_model)
    keys = ["loan_id", "model_view", "window", "forecast_of", "fold"]
    assert again.forecasts.sort(keys).equals(found.forecasts.sort(keys))
    write_tables(found, tmp_path)
    assert {path.stem for path in tmp_path.glob("*.parquet")} == {*TABLES, "backtest"}


def test_the_long_table_is_one_that_corrections_are_fitted_on(found: Backtest) -> None:
    table = check_backtest(long_table(found.forecasts.lazy()).collect(), "here")
    at_twelve = table.filter(pl.col("horizon_months") == 12).sort("loan_id")
    own = found.originals.drop_nulls("forecast_rate_12m").sort("loan_id")
    assert at_twelve["forecast_rate"].equals(own["forecast_rate_12m"].rename("forecast_rate"))


def test_the_headline_is_the_longest_horizon_that_half_can_be_judged_at(found: Backtest) -> None:
    assert found.headline_months == headline_months(found.originals, found.meta)
    judged = {
        months: found.originals.drop_nulls(
            [f"forecast_rate_{months:02d}m", f"actual_rate_{months:02d}m"]
        ).height
        for months in (6, 12, 24, 36, 48, 60)
    }
    enough = [months for months, loans in judged.items() if loans >= found.originals.height / 2]
    assert found.headline_months == max(enough)


def test_reasons_are_of_the_worst_misses_and_add_up(found: Backtest) -> None:
    months = found.headline_months
    assert months is not None
    miss = found.originals.select(
        "loan_id",
        miss=pl.col("ead_amount")
        * (pl.col(f"actual_rate_{months:02d}m") - pl.col(f"forecast_rate_{months:02d}m")),
    ).drop_nulls()
    worst = miss.sort(pl.col("miss").abs(), descending=True).head(20)
    assert found.reasons["loan_id"].to_list() == worst["loan_id"].to_list()
    points = found.reasons.select("base_rate", "^factor_._points$", "other_points").to_numpy()
    assert points.sum(axis=1) == pytest.approx(found.reasons["recovery_rate"].to_numpy(), abs=1e-9)
