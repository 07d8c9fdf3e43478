"""Example loans of a bundle: of every class, nobody's, and scored to the last bit."""

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from features.portfolio import Portfolio
from features.sources.result import no_ledger
from features.tape import Tape, tape_dtypes
from models.bundle import Bundle, Provenance
from models.errors import BundleError
from models.example_scores import require_same_figures, with_examples
from models.examples import Examples
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training.examples import with_typical_examples


@pytest.fixture(scope="module")
def bundle(dated_model: RecoveryModel, simulated: Portfolio) -> Bundle:
    provenance = Provenance(
        data_hash="d" * 64, git_commit=None, versions={}, known_on="2024-12-31", settings={}
    )
    return with_typical_examples(Bundle(dated_model, simulated.meta, provenance, []), simulated)


@pytest.fixture(scope="module")
def examples(bundle: Bundle) -> Examples:
    assert bundle.examples is not None
    return bundle.examples


def test_every_class_missing_groups_and_cash(examples: Examples, simulated: Portfolio) -> None:
    classes = simulated.tape.select("asset_class").collect()["asset_class"].unique().to_list()
    assert {loan["asset_class"] for loan in examples.loans} == set(classes)
    bare = min(examples.loans, key=len)
    assert not {"borrower_adcode", "birth_year", "legal_stage", "paid_last_12m"} & bare.keys()
    assert any("appraised_value" in loan for loan in examples.loans)
    paid = {row["loan_id"] for row in examples.ledger}
    # The same loan with and without its cash.
    with_cash = next(n for n, loan in enumerate(examples.loans) if loan["loan_id"] in paid)
    rates = [told["recovery_rate"] for told in examples.figures]
    assert rates[1] != rates[with_cash]
    assert len(set(rates)) == len(rates)


def test_they_are_nobodys(examples: Examples, simulated: Portfolio) -> None:
    tape = simulated.tape.collect()
    for name in ("loan_id", "borrower_id", "package_id", "servicer"):
        told = {loan[name] for loan in examples.loans if name in loan}
        assert not told & set(tape[name].drop_nulls())
    identifiers = {n for n, c in Tape.columns().items() if (c.metadata or {})["group"] == "key"}
    made_up = {"loan_id", "borrower_id", "package_id"}
    common = {"originator", "snapshot_date", "source_system"}
    assert {n for loan in examples.loans for n in loan} & identifiers <= made_up | common
    # A value that tells a loan apart would be borne by few: none of the texts is.
    texts = [n for n, t in tape_dtypes().items() if t == pl.String and n not in made_up]
    for loan in examples.loans:
        for name in [n for n in texts if n in loan]:
            assert (tape[name] == loan[name]).sum() >= 20
        amounts = [v for v in loan.values() if isinstance(v, float)]
        assert all(float(f"{v:.2g}") == v for v in amounts)
        days = [v for n, v in loan.items() if n.endswith("_date") and n != "snapshot_date"]
        assert all(str(day).endswith("-01") for day in days)
    # No loan of the tape agrees with an example in more than half of what the example tells.
    for loan in examples.loans:
        same = pl.sum_horizontal(
            (pl.col(name).cast(pl.String) == str(value)).fill_null(False)
            for name, value in loan.items()
            if name in tape.columns and isinstance(value, float | str)
        )
        assert tape.select(same.max()).item() < 0.7 * len(loan)


def test_the_figures_are_those_of_the_scoring_path(examples: Examples, bundle: Bundle) -> None:
    # By another way than the check: a tape put together by hand, one loan at a time.
    dtypes: dict[str, Any] = tape_dtypes()
    extra = {field.name: field.dtype for field in bundle.model.spec.extra_fields}
    paid = {row["loan_id"] for row in examples.ledger}
    for loan, figures in zip(examples.loans, examples.figures, strict=True):
        if loan["loan_id"] in paid:
            continue
        values = {
            name: date.fromisoformat(str(value)) if dtypes.get(name) == pl.Date else value
            for name, value in loan.items()
        }
        tape = pl.DataFrame([values], schema_overrides={
            name: dtype for name, dtype in (dtypes | extra).items() if name in values
        })  # fmt: skip
        (row,) = score_loans(bundle.model, tape, no_ledger(), explain=True).to_dicts()
        assert figures == {name: row[name] for name in figures}
        assert {"recovery_rate", "recovery_rate_60m", "base_rate", "points_ead"} <= figures.keys()


def test_the_same_portfolio_gives_the_same_examples(
    bundle: Bundle, examples: Examples, simulated: Portfolio
) -> None:
    tape = simulated.tape.collect()
    shuffled = simulated.with_tables(
        tape.sample(fraction=1, shuffle=True, seed=3).lazy(), simulated.ledger
    )
    assert with_typical_examples(bundle, shuffled).examples == examples


def test_a_small_class_is_left_out(bundle: Bundle, simulated: Portfolio) -> None:
    auto = pl.col("asset_class") == "auto"
    few = pl.concat([simulated.tape.filter(~auto), simulated.tape.filter(auto).head(19)])
    found = with_typical_examples(bundle, simulated.with_tables(few, simulated.ledger)).examples
    assert found is not None
    assert "auto" not in {loan["asset_class"] for loan in found.loans}


def test_a_model_that_says_something_else_is_refused(bundle: Bundle) -> None:
    require_same_figures(bundle)
    other = replace(bundle, model=replace(bundle.model, level=bundle.model.level + 1e-12))
    with pytest.raises(BundleError, match="recovery_rate of example ex-1 was"):
        require_same_figures(other)


def test_a_model_that_can_score_none_is_told(bundle: Bundle, examples: Examples) -> None:
    loans = [dict(loan) | {"original_amount": -1.0} for loan in examples.loans]
    with pytest.raises(BundleError, match="score none of the example loans"):
        with_examples(bundle, loans, [])
