"""Corrections: who may decide, when one is in force, and what it does to a rate."""

from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.correction import CorrectionsInForce, Evidence, Proposal, corrected_rate
from models.correction_book import CorrectionBook, read_book, write_book
from models.errors import CorrectionError

TODAY = date(2025, 3, 1)


def proposal(**changed: Any) -> Proposal:
    evidence = Evidence(
        loans=800,
        vintages=8,
        first_vintage=date(2022, 1, 15),
        last_vintage=date(2023, 11, 15),
        horizon_months=None,
        forecast_amount=2e6,
        actual_amount=1.7e6,
        ratio=0.85,
        ratio_low=0.8,
        ratio_high=0.9,
        p_value=0.001,
        data_hash="d",
        model_version=changed.pop("model_version", "m1"),
    )
    fields: dict[str, Any] = {
        "conditions": {"region": "CN-GD"},
        "vintage_by": "cut_off_date",
        "vintages_from": date(2024, 1, 1),
        "factor": 0.87,
        "credibility": 0.9,
        "evidence": evidence,
        "proposed_by": "Li Wei",
        "proposed_on": TODAY,
        "reason": "courts of the province are slower than the model knows",
    }
    return Proposal(**(fields | changed))


def approved(*proposals: Proposal, until: date = date(2026, 1, 1)) -> CorrectionBook:
    book = CorrectionBook().propose(proposals)
    for one in proposals:
        book = book.approve(one.id, "Chen Hao", "holds on 2023", TODAY, TODAY, until)
    return book


def test_states_follow_the_events_and_the_calendar() -> None:
    one = proposal()
    book = CorrectionBook().propose([one])
    assert book.find(one.id).state(TODAY) == "proposed"
    assert book.in_force(TODAY, "m1").corrections == ()
    assert book.reject(one.id, "Chen Hao", "no", TODAY).find(one.id).state(TODAY) == "rejected"
    book = approved(one)
    held = book.find(one.id)
    assert (held.approver, held.decision_reason) == ("Chen Hao", "holds on 2023")
    days = {date(2025, 2, 28): (), TODAY: (one.id,), date(2025, 12, 31): (one.id,)}
    days[date(2026, 1, 1)] = ()
    for day, expected in days.items():
        assert tuple(c.id for c in book.in_force(day, "m1").corrections) == expected
    assert held.state(date(2026, 1, 1)) == "expired"
    ended = book.expire(one.id, "Chen Hao", "courts caught up", date(2025, 6, 1))
    assert ended.in_force(date(2025, 7, 1), "m1").corrections == ()


def test_a_correction_is_for_the_model_it_was_fitted_on() -> None:
    assert approved(proposal()).in_force(TODAY, "m2").corrections == ()


@pytest.mark.parametrize(
    ("by", "reason", "start", "end", "told"),
    [
        ("li wei ", "fine", TODAY, date(2026, 1, 1), "somebody else must approve"),
        ("  ", "fine", TODAY, date(2026, 1, 1), "by must be given"),
        ("Chen Hao", "", TODAY, date(2026, 1, 1), "reason must be given"),
        ("Chen Hao", "fine", TODAY, TODAY, "must be later"),
        ("Chen Hao", "fine", date(2024, 1, 1), date(2025, 1, 1), "not before today"),
    ],
)
def test_an_approval_needs_somebody_else_a_reason_and_an_end(
    by: str, reason: str, start: date, end: date, told: str
) -> None:
    one = proposal()
    with pytest.raises(CorrectionError, match=told):
        CorrectionBook().propose([one]).approve(one.id, by, reason, TODAY, start, end)


def test_what_does_not_follow_is_refused() -> None:
    one, again = proposal(), proposal(factor=0.9)
    book = approved(one)
    with pytest.raises(CorrectionError, match="is approved and cannot be approved"):
        book.approve(one.id, "Chen Hao", "twice", TODAY, TODAY, date(2026, 1, 1))
    with pytest.raises(CorrectionError, match="already in the book"):
        book.propose([one])
    with pytest.raises(CorrectionError, match="no correction 'nothing'"):
        book.reject("nothing", "Chen Hao", "no", TODAY)
    two = book.propose([again])
    with pytest.raises(CorrectionError, match="corrects region = CN-GD from"):
        two.approve(again.id, "Chen Hao", "newer", TODAY, TODAY, date(2026, 6, 1))
    later = two.approve(again.id, "Chen Hao", "after", TODAY, date(2026, 1, 1), date(2026, 6, 1))
    assert [c.id for c in later.in_force(date(2026, 2, 1), "m1").corrections] == [again.id]
    with pytest.raises(CorrectionError, match="is proposed and cannot be ended"):
        two.expire(again.id, "Chen Hao", "no", TODAY)


def test_a_proposal_is_for_later_vintages_and_known_dimensions() -> None:
    with pytest.raises(ValidationError, match="must be later than the last vintage"):
        proposal(vintages_from=date(2023, 11, 15))
    with pytest.raises(ValidationError, match="no dimension colour"):
        proposal(conditions={"colour": "red"})


def test_a_book_is_read_as_it_was_written_and_only_added_to(tmp_path: Path) -> None:
    path = tmp_path / "corrections.jsonl"
    one = proposal()
    first = CorrectionBook().propose([one])
    write_book(path, first)
    book = approved(one)
    write_book(path, book)
    assert read_book(path) == book
    assert read_book(path).version == book.version != first.version
    # Somebody who read the book earlier and wrote later is stopped.
    with pytest.raises(CorrectionError, match="changed meanwhile"):
        write_book(path, first.reject(one.id, "Chen Hao", "no", TODAY))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"factor": 0.87', '"factor": 0.5', "line 1: .*altered since it was proposed"),
        ('"by": "Chen Hao"', '"by": "Li Wei"', "line 2: .*somebody else"),
        ('"event": "approved"', '"event": "blessed"', "line 2: not a readable event"),
    ],
)
def test_an_altered_book_is_not_read(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "corrections.jsonl"
    write_book(path, approved(proposal()))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(CorrectionError, match=told):
        read_book(path)


def test_a_missing_book_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(CorrectionError, match="npl corrections propose"):
        read_book(tmp_path / "none.jsonl")


def in_force(*proposals: Proposal) -> CorrectionsInForce:
    return approved(*proposals).in_force(TODAY, "m1")


def test_the_most_specific_correction_wins_and_none_are_multiplied() -> None:
    wide, other = proposal(), proposal(conditions={"asset_class": "sme"}, credibility=0.5)
    narrow = proposal(conditions={"region": "CN-GD", "asset_class": "sme"}, credibility=0.3)
    loans = pl.DataFrame(
        {
            "region": ["CN-GD", "CN-GD", "CN-BJ", "CN-BJ", "CN-GD", None],
            "asset_class": ["sme", "auto", "sme", "auto", "sme", "auto"],
            "cut_off_date": [date(2024, 1, 1)] * 4 + [date(2023, 12, 31)] + [date(2024, 1, 1)],
        }
    )
    chosen = in_force(wide, other, narrow).by_loan(loans)["correction_id"].to_list()
    assert chosen == [narrow.id, wide.id, other.id, None, None, None]
    # Of two as specific, the one with more evidence.
    assert in_force(wide, other).by_loan(loans)["correction_id"][0] == wide.id


@given(
    rates=st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=8), factor=st.floats(0, 3)
)  # fmt: skip
def test_a_corrected_rate_keeps_its_order_and_its_bounds(rates: list[float], factor: float) -> None:
    rates.sort()
    frame = pl.DataFrame({"rate": rates})
    found = frame.select(corrected_rate(pl.col("rate"), pl.lit(factor))).to_series().to_list()
    assert all(a <= b for a, b in pairwise(found))
    for before, after in zip(rates, found, strict=True):
        assert after <= max(1.0, before)
        if before <= 0:
            assert after == before
        else:
            assert after == min(before * factor, max(before, 1.0))
            assert after >= 0
