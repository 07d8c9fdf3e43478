"""A package's totals against sums done by hand and by a plain Python loop."""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.portfolio import PortfolioMeta
from features.spec import FeatureDefinition, FeatureSpec
from features.tape import tape_dtypes
from models.development import DevelopmentPattern
from models.errors import ScoringError
from models.linear import LinearPart
from models.package import PackageValuation, tie_out, value_package
from models.recovery import RecoveryModel
from models.resolution import ResolutionModel
from models.trees import TreePart

CUT_OFF = date(2023, 6, 30)
META = PortfolioMeta(
    name="hand-made",
    source_system="cn_tape",
    currency="CNY",
    observed_until_date=date(2024, 12, 31),
    recovery_basis="claim",
    recovery_timing="monthly",
    notes=("Made by hand.",),
)


def feature(name: str, group: Any) -> FeatureDefinition:
    return FeatureDefinition(
        name=name,
        group=group,
        kind="number",
        unit="",
        levels=(),
        meaning_en=name,
        meaning_zh=name,
    )


MODEL = RecoveryModel(
    spec=FeatureSpec(
        basis="claim",
        extra_fields=(),
        definitions=(
            feature("ead", "exposure"),
            feature("interest_rate", "exposure"),
            feature("days_past_due", "age"),
        ),
    ),
    link="identity",
    level=0.0,
    linear=LinearPart(intercept=0.0, columns=()),
    linear_weight=1.0,
    trees=TreePart(()),
    tree_weight=0.0,
    timing=DevelopmentPattern(horizons_months=(12, 24), overall=(0.5, 1.0), by_segment={}),
)
# loan, borrower, principal, interest, fees, class, guarantee, region, days past due, default date
ROWS: list[tuple[Any, ...]] = [
    ("A", "b1", 800.0, 150.0, 50.0, "sme", "mortgage", "440100", 400, date(2022, 6, 10)),
    ("B", "b1", 100.0, 20.0, None, "consumer", "credit", "440300", 100, date(2023, 3, 31)),
    ("C", "b2", 300.0, None, None, "consumer", "credit", "110101", 90, None),
    ("D", "b3", 0.0, 0.0, 0.0, "consumer", "guarantee", None, 40, date(2023, 5, 21)),
    ("E", "b4", 500.0, 100.0, 0.0, "sme", "mixed", "110101", 700, date(2021, 7, 30)),
]
FIELDS = (
    *("loan_id", "borrower_id", "principal_outstanding", "interest_outstanding"),
    *("fees_outstanding", "asset_class", "guarantee_type", "borrower_adcode"),
    *("days_past_due", "default_date"),
)
# ead, rate by month 12, ultimate rate, base rate, points of the three features, flags, reason
SCORES: dict[str, tuple[Any, ...]] = {
    "A": (1000.0, 0.30, 0.45, 0.25, 0.10, -0.05, 0.15, "unseen_region", None),
    "B": (120.0, 0.05, 0.10, 0.25, -0.10, -0.06, 0.01, "", None),
    "C": (None, None, None, None, None, None, None, "", "exposure unknown"),
    "D": (0.0, None, None, None, None, None, None, "", "exposure unknown"),
    "E": (600.0, 0.50, 1.00, 0.25, 0.50, 0.20, 0.05, "unseen_region;unseen_industry", None),
}


def make_tape(**changes: pl.Expr) -> pl.DataFrame:
    dtypes = tape_dtypes()
    tape = pl.DataFrame(ROWS, schema=FIELDS, orient="row", infer_schema_length=None).with_columns(
        package_id=pl.lit("P-1"),
        snapshot_date=pl.lit(CUT_OFF),
        five_category=pl.lit("loss"),
        written_off=pl.col("loan_id") == "E",
        legal_stage=pl.lit("judged"),
    )
    tape = tape.with_columns(**changes) if changes else tape
    return tape.with_columns(pl.col(name).cast(dtypes[name]) for name in tape.columns)


def make_scores(explained: bool = True) -> pl.DataFrame:
    rows = []
    for loan, (ead, early, rate, base, p1, p2, p3, flags, reason) in SCORES.items():
        amount = None if rate is None else ead * rate
        rows.append((loan, ead, rate, early, rate, amount, flags, reason, base, p1, p2, p3))
    schema = {
        "loan_id": pl.String,
        "ead": pl.Float64,
        "recovery_rate": pl.Float64,
        "recovery_rate_12m": pl.Float64,
        "recovery_rate_24m": pl.Float64,
        "expected_recovery_amount": pl.Float64,
        "flags": pl.String,
        "reason": pl.String,
        "base_rate": pl.Float64,
        "points_ead": pl.Float64,
        "points_interest_rate": pl.Float64,
        "points_days_past_due": pl.Float64,
    }
    scores = pl.DataFrame(rows, schema=schema, orient="row")
    return scores if explained else scores.drop(list(schema)[8:])


@pytest.fixture
def valuation() -> PackageValuation:
    return value_package(make_scores(), make_tape(), MODEL, META)


def test_every_loan_is_scored_or_counted_with_its_reason(valuation: PackageValuation) -> None:
    assert (valuation.loans, valuation.scored_loans, valuation.unscored_loans) == (5, 3, 2)
    assert valuation.borrowers == 4
    assert valuation.unscored.rows() == [("exposure unknown", 2)]
    assert valuation.package_ids == ("P-1",)
    assert valuation.title == "P-1"
    assert valuation.cut_off_dates == (CUT_OFF, CUT_OFF)


def test_rates_stand_on_the_loans_that_state_the_denominator(valuation: PackageValuation) -> None:
    # 1000 * 0.45 + 120 * 0.10 + 600 * 1.00 = 450 + 12 + 600
    assert valuation.expected_recovery_amount == pytest.approx(1062.0)
    ead, principal, both = valuation.bases
    assert ead.amount == 1720.0
    assert ead.recovery_rate == pytest.approx(1062 / 1720)
    assert (principal.package_amount, principal.amount, principal.loans) == (1700.0, 1400.0, 3)
    assert principal.recovery_rate == pytest.approx(1062 / 1400)
    # C states no interest; D states none outstanding.
    assert (both.package_amount, both.amount) == (1670.0, 1670.0)
    assert both.recovery_rate == pytest.approx(1062 / 1670)


def test_a_denominator_takes_only_the_recovery_of_its_own_loans() -> None:
    tape = make_tape(principal_outstanding=pl.lit(None, dtype=pl.Float64)).with_columns(
        principal_outstanding=pl.when(pl.col("loan_id") == "A").then(800.0)
    )
    principal = value_package(make_scores(), tape, MODEL, META).bases[1]
    assert principal.loans == 1
    assert principal.recovery_rate == pytest.approx(450 / 800)


def test_announcement_aggregates_by_hand(valuation: PackageValuation) -> None:
    a = valuation.announcement
    # Claims: A 950, B 120, D 0, E 600; C unstated. b1 owes 950 + 120.
    assert (a.claim_amount, a.claim_loans) == (1670.0, 4)
    assert a.weighted_days_past_due == pytest.approx(
        (950 * 400 + 120 * 100 + 0 * 40 + 600 * 700) / 1670
    )
    # 10 June 2022 to 30 June 2023: 12 whole months; 31 March 2023: 2 (30 < 31); 30 July 2021: 23.
    assert a.weighted_months_since_default == pytest.approx((950 * 12 + 120 * 2 + 600 * 23) / 1670)
    assert a.largest_borrower_claim_amount == 1070.0
    assert a.mean_borrower_claim_amount == pytest.approx(1670 / 3)
    assert a.largest_borrower_share == pytest.approx(1070 / 1670)


def test_cash_by_horizon(valuation: PackageValuation) -> None:
    early = 1000 * 0.30 + 120 * 0.05 + 600 * 0.50
    assert valuation.curve["horizon_months"].to_list() == [12, 24]
    assert valuation.curve["cumulative_amount"].to_list() == pytest.approx([early, 1062.0])
    assert valuation.curve["cash_amount"].to_list() == pytest.approx([early, 1062.0 - early])
    assert valuation.curve["cumulative_rate"].to_list() == pytest.approx(
        [early / 1720, 1062 / 1720]
    )


def test_what_comes_after_the_last_horizon_has_its_own_row() -> None:
    resolution = ResolutionModel(
        interval_ends_months=(12, 24),
        baseline=(0.0, 0.0),
        effects=LinearPart(intercept=0.0, columns=()),
    )
    later = replace(MODEL, timing=resolution)
    early = pl.col("recovery_rate_12m")
    scores = make_scores().with_columns(recovery_rate_06m=early, recovery_rate_24m=early)
    curve = value_package(scores, make_tape(), later, META).curve
    assert curve["horizon_months"].to_list() == [6, 12, 24, None]
    assert curve["cash_amount"].to_list() == pytest.approx([606.0, 0.0, 0.0, 456.0])


def test_undated_outcomes_have_no_curve_and_it_is_said() -> None:
    undated = replace(MODEL, timing=None)
    scores = make_scores().drop("recovery_rate_12m", "recovery_rate_24m")
    valuation = value_package(scores, make_tape(), undated, META)
    assert valuation.curve.is_empty()
    assert any("undated" in said for said in valuation.left_out)


def test_segments_hold_every_loan(valuation: PackageValuation) -> None:
    region = valuation.segments.filter(pl.col("dimension") == "region")
    found = {
        row["level"]: (row["loans"], row["scored_loans"], row["ead_amount"])
        for row in region.to_dicts()
    }
    assert found == {"CN-GD": (2, 2, 1120.0), "CN-BJ": (2, 1, 600.0), None: (1, 0, 0.0)}
    guarantee = valuation.segments.filter(pl.col("dimension") == "guarantee_type")
    rates = dict(guarantee.select("level", "recovery_rate").rows())
    assert rates["mortgage"] == pytest.approx(0.45)
    assert rates["mixed"] == pytest.approx(1.0)
    assert rates["guarantee"] is None


def test_factors_in_money_by_brute_force(valuation: PackageValuation) -> None:
    moved: dict[str, float] = defaultdict(float)
    base = 0.0
    for ead, _, rate, start, *points, _, _ in SCORES.values():
        if rate is None:
            continue
        base += ead * start
        for name, value in zip(("ead", "interest_rate", "days_past_due"), points, strict=True):
            moved[name] += ead * value
    assert valuation.base_amount == pytest.approx(base)
    found = dict(valuation.factors.select("feature", "amount").rows())
    assert found == pytest.approx(moved)
    assert base + sum(moved.values()) == pytest.approx(1062.0)
    groups = dict(valuation.groups.select("group", "amount").rows())
    assert groups["exposure"] == pytest.approx(moved["ead"] + moved["interest_rate"])
    ead = valuation.factors.row(by_predicate=pl.col("feature") == "ead", named=True)
    assert (ead["raised_loans"], ead["lowered_loans"]) == (2, 1)
    assert (ead["raising_amount"], ead["lowering_amount"]) == pytest.approx((400.0, -12.0))


def cents(values: Any) -> list[int]:
    found = [round(100 * value) for value in values]
    assert found == pytest.approx([100 * value for value in values], abs=1e-3)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_factors_and_groups_add_up_to_the_cent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.1, (3, 3))
    ead = 10 ** rng.uniform(2, 9, 3)
    rate = 0.25 + points.sum(axis=1)
    scored = make_scores().filter(pl.col("reason").is_null())
    exact = scored.with_columns(
        ead=pl.Series(ead),
        recovery_rate=pl.Series(rate),
        recovery_rate_24m=pl.Series(rate),
        expected_recovery_amount=pl.Series(ead * rate),
        points_ead=pl.Series(points[:, 0]),
        points_interest_rate=pl.Series(points[:, 1]),
        points_days_past_due=pl.Series(points[:, 2]),
    )
    tape = make_tape().filter(pl.col("loan_id").is_in(["A", "B", "E"]))
    found = value_package(exact, tape, MODEL, META)
    (base,) = cents([found.base_amount])
    total = round(100 * found.expected_recovery_amount)
    assert base + sum(cents(found.factors["amount"])) == total
    assert base + sum(cents(found.groups["amount"])) == total
    for table in (found.factors, found.groups):
        raised, lowered = cents(table["raising_amount"]), cents(table["lowering_amount"])
        assert list(map(sum, zip(raised, lowered, strict=True))) == cents(table["amount"])
    for name, amount in found.groups.select("group", "amount").iter_rows():
        own = found.factors.filter(pl.col("group") == name)["amount"]
        assert sum(cents(own)) == cents([amount])[0]
    money = points * ead[:, None]
    names = ("ead", "interest_rate", "days_past_due")
    shown = dict(found.factors.select("feature", "amount").rows())
    for name, column in zip(names, money.T, strict=True):
        assert shown[name] == pytest.approx(column.sum(), abs=0.031, rel=1e-12)
    assert tie_out(found)["holds"].all()


def test_factors_that_do_not_explain_the_forecast_are_refused() -> None:
    wrong = make_scores().with_columns(points_ead=pl.col("points_ead") + 1e-4)
    with pytest.raises(ScoringError, match="score the tape again with --explain"):
        value_package(wrong, make_tape(), MODEL, META)


def test_without_explanation_there_are_no_factors_and_it_is_said() -> None:
    valuation = value_package(make_scores(explained=False), make_tape(), MODEL, META)
    assert valuation.base_amount is None
    assert valuation.factors.is_empty()
    assert valuation.groups.is_empty()
    assert any("not explained" in said for said in valuation.left_out)


def test_flags_and_distribution(valuation: PackageValuation) -> None:
    assert valuation.flags.rows() == [("unseen_region", 2, 1600.0), ("unseen_industry", 1, 600.0)]
    held = valuation.distribution.filter(pl.col("loans") > 0).rows()
    # A rate on a bound belongs to the step it begins: 0.10 lies in 10-20%, 1.00 in 100% and more.
    assert held == [(0.1, 0.2, 1, 120.0), (0.4, 0.5, 1, 1000.0), (1.0, None, 1, 600.0)]
    assert valuation.distribution.height == 11


def test_largest_loans_first(valuation: PackageValuation) -> None:
    assert valuation.largest["loan_id"].to_list() == ["A", "E", "B"]
    assert not [name for name in valuation.largest.columns if name.startswith("points_")]
    assert valuation.largest["region"].to_list() == ["CN-GD", "CN-BJ", "CN-GD"]


def test_columns_that_are_absent_are_left_out_and_said() -> None:
    tape = make_tape().drop("five_category", "legal_stage", "interest_outstanding")
    valuation = value_package(make_scores(), tape, MODEL, META)
    assert [basis.name for basis in valuation.bases] == ["ead", "principal"]
    assert valuation.announcement.claim_amount is None
    assert valuation.announcement.weighted_days_past_due is None
    assert valuation.segments["claim_amount"].null_count() == valuation.segments.height
    assert {"five_category", "legal_stage"}.isdisjoint(valuation.segments["dimension"])
    for name in ("five_category", "legal_stage", "principal + interest"):
        assert any(name in said for said in valuation.left_out)


def test_all_totals_tie(valuation: PackageValuation) -> None:
    checks = tie_out(valuation)
    assert checks["holds"].all()
    assert checks.height > 20


def test_a_total_that_does_not_tie_is_seen(valuation: PackageValuation) -> None:
    assert valuation.base_amount is not None
    wrong = replace(valuation, base_amount=valuation.base_amount + 0.01)
    failed = tie_out(wrong).filter(~pl.col("holds"))["check"].to_list()
    assert failed == ["expected recovery = base + factors", "expected recovery = base + groups"]


def test_rows_set_aside_count_even_under_the_id_of_a_good_loan() -> None:
    aside = pl.DataFrame({"loan_id": ["A", None, "Z"], "reason": ["duplicate", "no id", "no id"]})
    scores = pl.concat([make_scores(), aside], how="diagonal")
    valuation = value_package(scores, make_tape(), MODEL, META)
    assert (valuation.loans, valuation.scored_loans, valuation.unscored_loans) == (8, 3, 5)
    assert valuation.unscored.rows() == [("exposure unknown", 2), ("no id", 2), ("duplicate", 1)]
    # The row set aside adds nothing to what the good loan owes.
    assert valuation.announcement.claim_amount == 1670.0
    assert tie_out(valuation)["holds"].all()


def test_a_package_without_any_forecast_has_no_rate() -> None:
    names = [n for n in make_scores().columns if n not in ("loan_id", "ead", "flags", "reason")]
    nothing = make_scores().with_columns(
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in names), reason=pl.lit("why")
    )
    valuation = value_package(nothing, make_tape(), MODEL, META)
    assert (valuation.scored_loans, valuation.unscored_loans) == (0, 5)
    assert valuation.recovery_rate is None
    assert tie_out(valuation)["holds"].all()


@pytest.mark.parametrize(
    ("scores", "tape", "told"),
    [
        (make_scores(), make_tape().head(4), "'E'.*|.*scored but not on the tape"),
        (make_scores().head(4), make_tape(), "1 loans are on the tape but not in the scores"),
        (pl.concat([make_scores()] * 2), make_tape(), "scored twice"),
        (make_scores(), pl.concat([make_tape()] * 2), "stand twice on the tape"),
        (make_scores().head(0), make_tape(), "nothing to value"),
    ],
)
def test_scores_and_tape_must_be_of_the_same_loans(
    scores: pl.DataFrame, tape: pl.DataFrame, told: str
) -> None:
    with pytest.raises(ScoringError, match=told):
        value_package(scores, tape, MODEL, META)


def test_order_of_the_rows_changes_no_total() -> None:
    one = value_package(make_scores(), make_tape(), MODEL, META)
    other = value_package(make_scores().reverse(), make_tape(), MODEL, META)
    assert other.expected_recovery_amount == pytest.approx(one.expected_recovery_amount)
    assert dict(other.factors.select("feature", "amount").rows()) == pytest.approx(
        dict(one.factors.select("feature", "amount").rows())
    )
    assert other.largest.equals(one.largest)
