"""Flags of what is unlike training, held against a loan-by-loan search in plain Python."""

import math
from typing import Any

import polars as pl
import pytest

from features.flags import MOST_WITHOUT_GROUP, Seen
from features.pipeline import UNSEEN, build_features, build_scoring_frame, learn_spec
from features.portfolio import Portfolio
from features.spec import FeatureSpec


@pytest.fixture(scope="module")
def spec(simulated: Portfolio) -> FeatureSpec:
    return learn_spec(simulated.tape, simulated.ledger, simulated.meta)


@pytest.fixture(scope="module")
def strange(simulated: Portfolio) -> pl.DataFrame:
    """Loans of every kind, with much that no training loan had."""
    nth = pl.int_range(pl.len())

    def every(n: int, name: str, value: Any) -> pl.Expr:
        return pl.when(nth % n == 0).then(value).otherwise(pl.col(name)).alias(name)

    nothing = [
        every(7, name, pl.lit(None, dtype=dtype))
        for name, dtype in simulated.tape.collect_schema().items()
        if name in {"legal_stage", "lawsuit_date", "limitation_expiry", "seizure_rank",
                    "auction_round", "auction_reserve_price", "auction_date"}
    ]  # fmt: skip
    return (
        simulated.tape.head(400)
        .with_columns(
            every(3, "interest_rate", 99.0),
            every(5, "credit_score", 1e6),
            every(11, "original_amount", 1e12),
            every(13, "dti", math.nan),
            every(17, "borrower_adcode", pl.lit("990100")),
            *nothing,
        )
        .with_columns(
            every(19, name, pl.lit(None))
            for name in ("borrower_adcode", "collateral_adcode", "house_price_index_change")
        )
        .collect()
    )


def expected_flags(
    loan: dict[str, Any],
    spec: FeatureSpec,
    usual: list[str],
    ranges: dict[str, tuple[float, float]],
) -> list[str]:
    found = [f"unseen_{name}" for name in loan[UNSEEN]]
    for group in usual:
        own = [d.name for d in spec.definitions if d.group == group]
        if all(loan[name] is None and name not in loan[UNSEEN] for name in own):
            found.append(f"missing_{group}")
    for name, (low, high) in ranges.items():
        if loan[name] is not None and not low <= loan[name] <= high:
            found.append(f"outside_{name}")
    return found


def test_flags_are_those_of_a_search_loan_by_loan(
    simulated: Portfolio, spec: FeatureSpec, strange: pl.DataFrame
) -> None:
    ledger = simulated.ledger.collect()
    trained = build_features(simulated.tape, simulated.ledger, spec).collect()
    numbers = [d.name for d in spec.definitions if d.kind == "number"]
    ranges: dict[str, Any] = {}
    for name in numbers:
        values = [value for value in trained[name].to_list() if value is not None]
        ranges[name] = (min(values), max(values))
    learnt = build_scoring_frame(simulated.tape.collect(), ledger, spec).to_dicts()
    usual: list[str] = []
    for group in spec.groups:
        own = [d.name for d in spec.definitions if d.group == group]
        bare = sum(all(loan[n] is None and n not in loan[UNSEEN] for n in own) for loan in learnt)
        if bare <= MOST_WITHOUT_GROUP * len(learnt):
            usual.append(group)
    assert "collateral" not in usual
    assert {"borrower", "legal", "region"} <= set(usual)

    frame = build_scoring_frame(strange, ledger, spec)
    found = Seen.of(spec).flags(frame, frame[UNSEEN])
    expected = [expected_flags(loan, spec, usual, ranges) for loan in frame.to_dicts()]
    assert found.to_list() == [";".join(flags) for flags in expected]
    told = {flag for flags in expected for flag in flags}
    assert told >= {
        "unseen_region",
        "missing_region",
        "missing_legal",
        "outside_interest_rate",
        "outside_original_amount",
    }
    # One loan alone is told the same.
    for place in (0, 7, 17, 19, 201, 399):
        alone = frame[place : place + 1]
        assert Seen.of(spec).flags(alone, alone[UNSEEN]).to_list() == [";".join(expected[place])]


def test_training_loans_lie_within_what_was_seen(simulated: Portfolio, spec: FeatureSpec) -> None:
    frame = build_scoring_frame(simulated.tape.collect(), simulated.ledger.collect(), spec)
    found = Seen.of(spec).flags(frame, frame[UNSEEN])
    assert not found.str.contains("outside_").any()
    assert found.str.contains("unseen_").any()


def test_a_part_of_a_specification_flags_its_own(
    simulated: Portfolio, spec: FeatureSpec, strange: pl.DataFrame
) -> None:
    few = spec.keep([*(d.name for d in spec.definitions if d.group == "region"), "interest_rate"])
    assert few.usual_groups == ("region",)
    frame = build_scoring_frame(strange, simulated.ledger.collect(), few)
    found = Seen.of(few).flags(frame, frame[UNSEEN]).to_list()
    assert {flag for flags in found for flag in flags.split(";") if flag} == {
        "unseen_region",
        "missing_region",
        "outside_interest_rate",
    }
    nothing = spec.keep(["region"]).model_copy(update={"usual_groups": ()})
    assert set(Seen.of(nothing).flags(frame, frame[UNSEEN])) == {"", "unseen_region"}
