"""Scored rows: in input order, the same whatever the company, with reasons that add up."""

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from features.pipeline import build_features
from features.portfolio import Portfolio
from features.spec import FeatureDefinition
from models import scoring
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

    numbers = pl.Series("x", [0.0, 1.0, None])
    grades = define("ordered", ("best", "worst"))
    assert value_text(numbers, grades).to_list() == ["best", "worst", None]
    assert value_text(numbers, define("flag")).to_list() == ["no", "yes", None]
    amounts = pl.Series("x", [1234567.891, 0.05, 12.0, None])
    assert value_text(amounts, define("number")).to_list() == ["1.23457e+06", "0.05", "12", None]
    codes = pl.Series("x", ["a", None], dtype=pl.Enum(["a", "b"]))
    assert value_text(codes, define("category", ("a", "b"))).to_list() == ["a", None]
