"""Scored rows: in input order, the same whatever the company, with reasons that add up."""

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from features.pipeline import build_features
from features.portfolio import Portfolio
from features.segments import segment_frame
from features.spec import FeatureDefinition
from models import scoring
from models.correction import Evidence, Proposal
from models.correction_book import CorrectionBook
from models.package import tie_out, value_package
from models.recovery import RecoveryModel
from models.scoring import NOTHING_OUTSTANDING, score_loans, value_text


@pytest.fixture(scope="module")
def scores(dated_model: RecoveryModel, simulated: Portfolio) -> pl.DataFrame:
    return score_loans(dated_model, simulated.tape, simulated.ledger, explain=True)


def test_one_row_a_loan_in_input_order(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    tape = simulated.tape.collect()
    assert scores["loan_id"].equals(tape["loan_id"])
    assert scores.columns[:3] == ["loan_id", "ead", "recovery_rate"]
    claim = tape["principal_outstanding"] + tape["interest_outstanding"]
    claim += tape["fees_outstanding"].fill_null(0.0)
    np.testing.assert_allclose(scores["ead"], claim, rtol=1e-12)
    np.testing.assert_allclose(
        scores["expected_recovery_amount"], scores["recovery_rate"] * claim, rtol=1e-12
    )
    order = np.random.default_rng(1).permutation(tape.height)
    permuted = score_loans(dated_model, tape[order].lazy(), simulated.ledger, explain=True)
    assert permuted.equals(scores[order])


def test_scores_without_reasons_are_the_same(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    plain = score_loans(dated_model, simulated.tape, simulated.ledger)
    assert plain.equals(scores.select(plain.columns))
    assert not any(name.startswith(("factor", "points", "base")) for name in plain.columns)


@pytest.mark.parametrize("size", [1_999, 700])
def test_the_size_of_a_block_changes_no_bit(
    dated_model: RecoveryModel,
    simulated: Portfolio,
    scores: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(scoring, "BLOCK_LOANS", size)
    found = score_loans(
        dated_model,
        simulated.tape,
        simulated.ledger,
        explain=True,
        progress=lambda done, total: told.append((done, total)),
    )
    assert found.equals(scores)
    assert told == [(min(done, 2_000), 2_000) for done in range(size, 2_000 + size, size)]


def test_one_loan_alone_scores_as_among_thousands(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    for place in (0, 14, 776, 1_358, 1_999):
        alone = simulated.tape.slice(place, 1)
        found = score_loans(dated_model, alone, simulated.ledger, explain=True)
        assert found.equals(scores[place : place + 1])


def test_reasons_add_up_to_the_rate(dated_model: RecoveryModel, scores: pl.DataFrame) -> None:
    names = dated_model.spec.names
    everything = scores["base_rate"] + scores.select(f"points_{n}" for n in names).sum_horizontal()
    np.testing.assert_allclose(everything, scores["recovery_rate"], atol=1e-9)
    told = scores["base_rate"] + scores["other_points"]
    told += scores.select(f"factor_{place}_points" for place in range(1, 6)).sum_horizontal()
    np.testing.assert_allclose(told, scores["recovery_rate"], atol=1e-9)


def test_factors_are_the_five_largest(dated_model: RecoveryModel, scores: pl.DataFrame) -> None:
    for row in scores.gather_every(150).iter_rows(named=True):
        points = {name: row[f"points_{name}"] for name in dated_model.spec.names}
        largest = sorted(points.values(), key=abs, reverse=True)[:5]
        assert [row[f"factor_{place}_points"] for place in range(1, 6)] == largest
        for place in range(1, 6):
            assert points[row[f"factor_{place}"]] == row[f"factor_{place}_points"]
        assert len({row[f"factor_{place}"] for place in range(1, 6)}) == 5


def test_factors_show_the_loans_own_values(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    spec = dated_model.spec
    features = build_features(simulated.tape, simulated.ledger, spec).collect()
    for place in range(0, scores.height, 40):
        row = scores.row(place, named=True)
        for rank in range(1, 6):
            name, shown = row[f"factor_{rank}"], row[f"factor_{rank}_value"]
            own, definition = features[name][place], spec.definition(name)
            if own is None:
                assert shown is None
            elif definition.kind == "category":
                assert shown == own
            elif definition.kind == "ordered":
                assert definition.levels.index(shown) == own
            elif definition.kind == "flag":
                assert shown == ("yes" if own else "no")
            else:
                assert float(shown) == pytest.approx(own, rel=1e-5)


def test_a_loan_with_nothing_outstanding_has_a_reason_and_no_forecast(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    tape = simulated.tape.head(3).collect()
    paid = tape["loan_id"][1]
    cash = simulated.ledger.collect().clear()
    rows = pl.DataFrame(
        {
            "loan_id": [paid],
            "period": [date(2025, 1, 1)],
            "gross_amount": [1e12],
            "cost_amount": [0.0],
            "route": ["settlement"],
            "recorded_at": [datetime(2025, 1, 15)],
        }
    )
    dtypes = {name: dtype for name, dtype in cash.schema.items() if name in rows.columns}
    ledger = pl.concat([cash, rows.cast(dtypes)], how="diagonal").lazy()  # type: ignore[arg-type]
    found = score_loans(
        dated_model, tape.lazy(), ledger, explain=True, cut_off_date=date(2025, 1, 31)
    )
    assert found["loan_id"].equals(tape["loan_id"])
    assert found["reason"].to_list() == [None, NOTHING_OUTSTANDING, None]
    row = found.row(1, named=True)
    assert {name for name, value in row.items() if value is not None} == {
        "loan_id", "ead", "flags", "reason",
    }  # fmt: skip
    assert row["ead"] < 0
    assert found["recovery_rate"].null_count() == 1


def test_a_missing_balance_is_no_forecast(dated_model: RecoveryModel, simulated: Portfolio) -> None:
    tape = simulated.tape.head(2).with_columns(interest_outstanding=pl.lit(None, dtype=pl.Float64))
    found = score_loans(dated_model, tape, simulated.ledger)
    assert found["reason"].to_list() == [NOTHING_OUTSTANDING] * 2
    assert found["expected_recovery_amount"].null_count() == 2


def test_values_never_seen_are_flagged_and_scored(
    dated_model: RecoveryModel, simulated: Portfolio
) -> None:
    tape = simulated.tape.head(2).with_columns(
        borrower_adcode=pl.lit("990100"), originator=pl.lit("a bank of the moon")
    )
    flags = score_loans(dated_model, tape, simulated.ledger)
    expected = [f"unseen_{n}" for n in ("originator", "region") if n in dated_model.spec.names]
    assert "unseen_region" in expected
    assert set(flags["flags"][0].split(";")) >= set(expected)
    assert flags["recovery_rate"].null_count() == 0


@pytest.mark.parametrize("explain", [False, True])
def test_an_empty_tape_gives_an_empty_table_of_the_same_columns(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame, explain: bool
) -> None:
    found = score_loans(dated_model, simulated.tape.head(0), simulated.ledger, explain=explain)
    assert found.height == 0
    assert found.schema == scores.select(found.columns).schema


def test_values_as_a_person_reads_them() -> None:
    def define(kind: str, levels: tuple[str, ...] = ()) -> FeatureDefinition:
        return FeatureDefinition.model_validate(
            {"name": "x", "group": "age", "kind": kind, "unit": "", "levels": levels}
            | {"meaning_en": "x", "meaning_zh": "数"}
        )

    grades, flags = define("ordered", ("best", "worst")), define("flag")
    assert [value_text(v, grades) for v in (0.0, 1.0, None)] == ["best", "worst", None]
    assert [value_text(v, flags) for v in (0.0, 1.0, None)] == ["no", "yes", None]
    amounts = [value_text(v, define("number")) for v in (1234567.891, 0.05, 12.0, None)]
    assert amounts == ["1.23457e+06", "0.05", "12", None]
    assert [value_text(v, define("category", ("a", "b"))) for v in ("a", None)] == ["a", None]


@pytest.fixture(scope="module")
def correction(simulated: Portfolio, scores: pl.DataFrame) -> Proposal:
    """A correction of the commonest region, for the later half of the vintages."""
    segments = segment_frame(simulated.tape, simulated.ledger, "claim")
    region = segments["region"].value_counts(sort=True)["region"][0]
    start = segments["cut_off_date"].sort()[segments.height // 2]
    day = start - timedelta(days=1)
    evidence = Evidence(
        loans=500, vintages=8, first_vintage=day, last_vintage=day, horizon_months=None,
        forecast_amount=100.0, actual_amount=80.0, ratio=0.8, ratio_low=None, ratio_high=None,
        p_value=0.01, data_hash="d", model_version="m1",
    )  # fmt: skip
    return Proposal(
        conditions={"region": region}, vintage_by="cut_off_date", vintages_from=start, factor=0.8,
        credibility=0.9, evidence=evidence, proposed_by="Li Wei", proposed_on=day, reason="slow",
    )  # fmt: skip


def test_only_an_approved_correction_in_force_changes_a_forecast(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame, correction: Proposal
) -> None:
    proposed = CorrectionBook().propose([correction])
    today, end = date(2025, 3, 1), date(2026, 1, 1)
    approved = proposed.approve(correction.id, "Chen Hao", "holds", today, today, end)
    idle = [
        proposed.in_force(today, "m1"),
        proposed.reject(correction.id, "Chen Hao", "no", today).in_force(today, "m1"),
        approved.in_force(end, "m1"),
        approved.in_force(today - timedelta(days=1), "m1"),
        approved.in_force(today, "another model"),
        approved.expire(correction.id, "Chen Hao", "over", today).in_force(today, "m1"),
    ]
    for held in idle:
        few = simulated.tape.tail(300)
        found = score_loans(dated_model, few, simulated.ledger, corrections=held)
        shown = [name for name in found.columns if name in scores.columns]
        assert found.select(shown).equals(scores.tail(300).select(shown))
        assert "recovery_rate" in shown
        assert found["correction_id"].null_count() == found.height
        assert found["points_correction"].sum() == 0
    held = approved.in_force(today, "m1")
    found = score_loans(
        dated_model, simulated.tape, simulated.ledger, explain=True, corrections=held
    )
    taken = found["correction_id"].is_not_null()
    tape = simulated.tape.collect()
    assert 20 < taken.sum() < 1_000
    assert (tape["snapshot_date"].filter(taken) >= correction.vintages_from).all()
    assert tape["borrower_adcode"].str.slice(0, 2).filter(taken).n_unique() == 1
    assert found.filter(~taken).select(scores.columns).equals(scores.filter(~taken))
    changed, before = found.filter(taken), scores.filter(taken)
    assert set(changed["correction_id"]) == {correction.id}
    assert set(changed["correction_factor"]) == {0.8}
    for name in ("recovery_rate", "recovery_rate_12m", "expected_recovery_amount"):
        np.testing.assert_allclose(changed[name], 0.8 * before[name], rtol=1e-12)
    assert (changed["recovery_rate_06m"] <= changed["recovery_rate_60m"]).all()


def test_reasons_and_the_correction_add_up_to_the_rate(
    dated_model: RecoveryModel, simulated: Portfolio, correction: Proposal
) -> None:
    today = date(2025, 3, 1)
    book = CorrectionBook().propose([correction])
    book = book.approve(correction.id, "Chen Hao", "holds", today, today, date(2026, 1, 1))
    found = score_loans(
        dated_model,
        simulated.tape,
        simulated.ledger,
        explain=True,
        corrections=book.in_force(today, "m1"),
    )
    names = [*dated_model.spec.names, "correction"]
    whole = found["base_rate"] + found.select(f"points_{n}" for n in names).sum_horizontal()
    np.testing.assert_allclose(whole, found["recovery_rate"], atol=1e-9)
    assert (found["points_correction"] < 0).any()
    valuation = value_package(found, simulated.tape.collect(), dated_model, simulated.meta)
    assert tie_out(valuation)["holds"].all()
    assert valuation.correction_amount < 0
    assert any(correction.id in told for told in valuation.left_out)


def test_tables_in_memory_score_as_plans_do(
    dated_model: RecoveryModel, simulated: Portfolio, scores: pl.DataFrame
) -> None:
    ledger = simulated.ledger.collect()
    for loans in (1, 37):
        tape = simulated.tape.slice(600, loans).collect()
        found = score_loans(dated_model, tape, ledger, explain=True)
        assert found.equals(scores[600 : 600 + loans])
