"""Figures of the document against sums worked out by hand, and totals that must tie."""

import dataclasses
from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from training.backtest import Backtest
from training.errors import TrainingError
from training.report.build import build_report
from training.report.part import Thresholds, worst
from training.report.schema import Report
from training.report.sections.data import require_tie
from training.report.sections.segments import Segment

Made = Callable[..., Backtest]


@pytest.fixture(scope="module")
def by_hand(backtest_of: Made) -> Report:
    """60 loans forecast at 50% that brought 40%, and 60 that brought 50%, each of 100.01."""
    loans = pl.DataFrame(
        {
            "loan_id": [f"H{i:03d}" for i in range(120)],
            "vintage_date": [date(2018, 1 + i % 12, 1) for i in range(120)],
            "ead_amount": 100.01,
            "forecast": 0.5,
            "actual": [0.4] * 60 + [0.5] * 60,
            "region": ["CN-GD"] * 60 + ["CN-JS"] * 60,
        }
    )
    return build_report(backtest_of(loans))


def segment(report: Report, dimension: str, level: str) -> Segment:
    part = next(d for d in report.segments.dimensions if d.dimension == dimension)
    return next(s for s in part.segments if s.level == level)


def test_cash_is_what_a_person_adds_up(by_hand: Report) -> None:
    headline = next(v.cash for v in by_hand.views if v.headline)
    assert headline.loans == 120
    assert headline.ead_amount == pytest.approx(12_001.2)
    assert headline.forecast_amount == pytest.approx(6_000.6)
    assert headline.actual_amount == pytest.approx(60 * 100.01 * 0.9)
    assert headline.deviation_rate == pytest.approx(-0.1)
    # The loans of both regions are in every month: no month differs, and no draw of months does.
    assert segment(by_hand, "region", "CN-GD").cash.deviation_rate == pytest.approx(-0.2)
    assert segment(by_hand, "region", "CN-GD").cash.light == "amber"
    assert segment(by_hand, "region", "CN-JS").cash.deviation_rate == pytest.approx(0.0)
    assert segment(by_hand, "region", "CN-GD").difference_rate == pytest.approx(-0.2)


def test_accuracy_curves_and_calibration_by_hand(by_hand: Report) -> None:
    figures = {(m.name, m.weighted_by): m.value for m in by_hand.accuracy.measures}
    assert figures["mae", "loan"] == pytest.approx(0.05)
    assert figures["rmse", "loan"] == pytest.approx(np.sqrt(0.005))
    # Around their own mean of 0.45 outcomes vary by 0.05^2: 1 - 0.005 / 0.0025.
    assert figures["r2", "loan"] == pytest.approx(-1.0)
    points = {p.horizon_months: p for p in by_hand.curves[0].points}
    assert points[6].forecast_rate == pytest.approx(0.15)
    assert points[12].actual_rate == pytest.approx(0.27)
    assert points[24].collection_ratio == pytest.approx(0.9)
    assert by_hand.calibration.loss_bias_rate == pytest.approx(0.5 / 0.55 - 1)
    held = {s.segment: s.loans for s in by_hand.calibration.loss_segments if s.loans}
    assert held == {"[50%, 60%)": 120}


def test_timing_is_free_of_the_amount(by_hand: Report) -> None:
    whole = by_hand.timing[0]
    # 10% less came, in the same shares by month: late is nobody.
    assert whole.late_months == pytest.approx(0.0, abs=1e-9)
    assert whole.amount_rate == pytest.approx(-0.1)
    # Half of 0.5 is 0.25: forecast 0.15 at 6 and 0.3 at 12 months, actual 0.135 and 0.27.
    assert whole.half_forecast_months == pytest.approx(10.0)
    assert whole.half_actual_months == pytest.approx(6 + 6 * (0.25 - 0.135) / 0.135)


def test_baselines_are_pooled_by_loans(by_hand: Report) -> None:
    ours, mean = by_hand.accuracy.rivals
    assert (ours.folds, ours.loans) == (2, 200)
    assert ours.mae == pytest.approx((50 * 0.1 + 150 * 0.2) / 200)
    assert (mean.folds, mean.spearman) == (1, None)


def test_packages_without_their_outcome_are_not_judged(by_hand: Report) -> None:
    assert [p.package for p in by_hand.coverage.packages] == ["2018", "2019"]
    assert [p.within for p in by_hand.coverage.packages] == [False, True]
    (tally,) = by_hand.coverage.tallies
    assert (tally.kind, tally.told, tally.within) == ("vintage", 2, 1)


def test_every_loan_and_every_cent_is_in_the_segments(report: Report, loans: pl.DataFrame) -> None:
    money = sum(round(100 * ead) for ead in loans["ead_amount"])
    assert round(100 * report.data.judged_ead_amount) == money
    for part in report.segments.dimensions:
        assert sum(s.cash.loans for s in part.segments) == loans.height
        assert round(100 * sum(s.cash.ead_amount for s in part.segments)) == money
    funnel = report.data.funnel
    assert report.data.loans == sum(r.loans for r in funnel) == loans.height + 3


@pytest.mark.parametrize(("column", "more"), [("ead_amount", 0.01), ("loans", 1)])
def test_a_cent_or_a_loan_too_many_is_an_error(
    backtest_of: Made, loans: pl.DataFrame, column: str, more: float
) -> None:
    whole = backtest_of(loans.head(200))
    off = pl.when(pl.col("step") == "forecast").then(pl.col(column) + more)
    wrong = whole.funnel.with_columns(off.otherwise(column).cast(whole.funnel[column].dtype))
    with pytest.raises(TrainingError, match="totals do not tie, funnel and forecasts"):
        build_report(dataclasses.replace(whole, funnel=wrong))


def test_tying_counts_loans_and_cents() -> None:
    require_tie("parts", [(1, 0.1), (2, 0.2)], (3, 0.3))
    with pytest.raises(TrainingError, match=r"parts: 3 loans and 0\.31 against 3 and 0\.30"):
        require_tie("parts", [(1, 0.1), (2, 0.21)], (3, 0.3))
    with pytest.raises(TrainingError, match="parts: 3 loans"):
        require_tie("parts", [(1, 0.1), (2, 0.2)], (4, 0.3))


def test_a_loan_forecast_twice_is_an_error(backtest_of: Made, loans: pl.DataFrame) -> None:
    whole = backtest_of(loans.head(200))
    twice = pl.concat([whole.forecasts, whole.forecasts.head(1)])
    with pytest.raises(TrainingError, match="L00000 has more than one"):
        build_report(dataclasses.replace(whole, forecasts=twice))


def test_nothing_to_judge_is_an_error(backtest_of: Made, loans: pl.DataFrame) -> None:
    whole = backtest_of(loans.head(200))
    unknown = whole.forecasts.with_columns(actual_rate_24m=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(TrainingError, match="0 of 200 forecast loans have an outcome"):
        build_report(dataclasses.replace(whole, forecasts=unknown))


def test_undated_outcomes_have_no_timing_and_say_why(
    backtest_of: Made, loans: pl.DataFrame
) -> None:
    whole = backtest_of(loans.head(400))
    rows = whole.forecasts.with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name)
        for name in whole.forecasts.columns
        if "rate_" in name and name.endswith("m")
    ).with_columns(actual_rate=pl.col("estimated_rate"), is_resolved=pl.lit(True))
    changed = whole.meta.model_copy(update={"recovery_timing": "none"})
    found = build_report(
        dataclasses.replace(whole, forecasts=rows, meta=changed, headline_months=None)
    )
    assert (found.about.data_view, found.about.horizon_months) == ("closed", None)
    assert (found.timing, found.curves) == ((), ())
    assert {"undated", "closed_only"} <= set(found.limits.applies)
    assert next(line for line in found.summary if line.topic == "timing").light is None


def test_the_overall_light(report: Report) -> None:
    # The planted closing code is a suspected leak: red whatever else is green.
    assert report.light == "red"
    assert report.leakage.features[0].suspected_for == "power"
    assert report.summary[0].topic == "deviation"
    assert len(report.summary) == 10
    limits = Thresholds()
    lit = [limits.deviation_light(r) for r in (None, 0.1, -0.11, 0.2, -0.21)]
    assert lit == [None, "green", "amber", "amber", "red"]
    assert worst([None, "green", "amber"]) == "amber"
    assert worst([None]) is None


def test_a_late_shift_shows_in_timing_and_not_in_amount(
    backtest_of: Made, loans: pl.DataFrame
) -> None:
    whole = backtest_of(loans)
    late = whole.forecasts.with_columns(
        actual_rate_06m=pl.col("actual_rate_24m") * 0.1,
        actual_rate_12m=pl.col("actual_rate_24m") * 0.3,
    )
    found = build_report(dataclasses.replace(whole, forecasts=late)).timing[0]
    # Shares by period 0.1, 0.2, 0.7 at 3, 9 and 18 months against 0.3, 0.3, 0.4.
    assert found.late_months == pytest.approx(14.7 - 10.8, abs=0.05)
    assert found.timing_deviates
    assert not found.amount_deviates
    assert found.light == "red"
