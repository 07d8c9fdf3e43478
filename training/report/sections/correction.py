"""Corrections: what the book holds and what the past proposes, proven on later vintages."""

from collections.abc import Iterable
from datetime import date
from typing import Final

import polars as pl
from pydantic import Field

from models.correction import Correction, Proposal, corrected_rate
from models.correction_book import CorrectionBook
from training.backtest_tables import long_table
from training.correction_fit import FitPlan, Origin, propose_corrections
from training.errors import TrainingError
from training.report.blocks import Block, Column, Table, Text
from training.report.cash import cash
from training.report.part import Light, Part
from training.report.subject import Subject
from training.report.words import Words

_DIMENSIONS: Final = ("asset_class", "region", "guarantee", "exposure_band")
_PROPOSED_BY: Final = "npl backtest"
CANDIDATE: Final = "candidate"


class Proof(Part):
    """A correction, and what it does on vintages later than those it was fitted on."""

    id: str
    state: str = Field(description="candidate (of this report), or as in the book.")
    conditions: dict[str, str]
    factor: float
    credibility: float
    fitted_loans: int
    fitted_until: date
    vintages_from: date
    approver: str | None
    expires_on: date | None
    loans: int = Field(description="It is proven on.")
    deviation_before: float | None
    deviation_after: float | None
    removed_rate: float | None = Field(description="Share of the deviation that it takes away.")
    harm: bool | None = Field(description="Whether it makes the deviation larger; missing: thin.")


class Corrections(Part):
    """Corrections of the book, and candidates fitted on the older part of the backtest."""

    book_version: str | None
    fitted_before: date | None = Field(description="Candidates: fitted on what was known then.")
    proofs: tuple[Proof, ...]
    light: Light | None


def figures(subject: Subject, book: CorrectionBook | None) -> Corrections:
    """Proofs of the book's corrections and of this report's candidates."""
    before = _split(subject)
    held = () if book is None else book.corrections
    proofs = [_proof(subject, c.proposal, c) for c in held]
    if before is not None:
        proofs += [_proof(subject, p, None) for p in _candidates(subject, before)]
    return Corrections(
        book_version=None if book is None else book.version,
        fitted_before=before,
        proofs=tuple(proofs),
        light=_light(proofs),
    )


def _split(subject: Subject) -> date | None:
    """Day halfway between the first day on which an outcome was known and the last vintage."""
    dated = subject.judged["reference_date"].drop_nulls()
    if dated.is_empty():
        return None
    first = dated.dt.offset_by(f"{subject.horizon_months or 0}mo").min()
    last = dated.max()
    if not (isinstance(first, date) and isinstance(last, date)) or first >= last:
        return None
    return (first + (last - first) / 2).replace(day=1)


def _candidates(subject: Subject, before: date) -> Iterable[Proposal]:
    months = pl.lit(subject.horizon_months, dtype=pl.Int32)
    table = (
        long_table(subject.backtest.forecasts.lazy())
        .filter(pl.col("horizon_months").eq_missing(months))
        .collect()
    )
    provenance = subject.backtest.provenance
    origin = Origin(
        data_hash=str(provenance.get("data_hash", "")),
        model_version=str(provenance.get("current_model") or CANDIDATE),
        proposed_by=_PROPOSED_BY,
        reason=CANDIDATE,
        proposed_on=subject.backtest.meta.observed_until_date,
    )
    for name in _DIMENSIONS:
        plan = FitPlan((name,), before=before, horizon_months=subject.horizon_months)
        try:
            yield from propose_corrections(table, plan, origin)
        except TrainingError:
            # Too short a past proposes nothing in this dimension.
            continue


def _proof(subject: Subject, proposal: Proposal, decided: Correction | None) -> Proof:
    later = subject.judged.filter(
        pl.col("vintage_date") >= proposal.vintages_from,
        *(pl.col(name) == level for name, level in proposal.conditions.items()),
    )
    mended = later.with_columns(
        forecast_amount=corrected_rate(pl.col("forecast"), pl.lit(proposal.factor))
        * pl.col("ead_amount")
    )
    before, after = (cash(part, subject.thresholds).deviation_rate for part in (later, mended))
    removed = harm = None
    if before is not None and after is not None:
        removed = 1 - abs(after) / abs(before) if before else None
        harm = abs(after) > abs(before)
    return Proof(
        id=proposal.id,
        state=CANDIDATE if decided is None else decided.decision,
        conditions=proposal.conditions,
        factor=proposal.factor,
        credibility=proposal.credibility,
        fitted_loans=proposal.evidence.loans,
        fitted_until=proposal.evidence.last_vintage,
        vintages_from=proposal.vintages_from,
        approver=None if decided is None else decided.approver,
        expires_on=None if decided is None else decided.expires_on,
        loans=later.height,
        deviation_before=before,
        deviation_after=after,
        removed_rate=removed,
        harm=harm,
    )


def _light(proofs: list[Proof]) -> Light:
    if any(p.harm and p.state == "approved" for p in proofs):
        return "red"
    return "amber" if proofs else "green"


def blocks(found: Corrections, words: Words) -> list[Block]:
    """Show every correction with its proof."""
    shown: list[Block] = [Text(words("correction.lead"))]
    if found.fitted_before is not None:
        shown.append(Text(words("correction.split", day=found.fitted_before)))
    else:
        shown.append(Text(words("correction.no_split"), "note"))
    if not found.proofs:
        shown.append(Text(words("correction.none")))
        return shown
    columns = [
        Column("segment", words("column.segment")),
        Column("state", words("column.state")),
        Column("factor", words("column.factor"), "factor"),
        Column("credibility", words("column.credibility"), "rate"),
        Column("fitted_loans", words("column.fitted_loans"), "count"),
        Column("fitted_until", words("column.fitted_until")),
        Column("loans", words("column.proof_loans"), "count"),
        Column("deviation_before", words("column.before"), "signed"),
        Column("deviation_after", words("column.after"), "signed"),
        Column("verdict", words("column.verdict")),
    ]
    rows = [
        p.model_dump()
        | {
            "segment": segment_name(p, words),
            "state": words(f"state.{p.state}"),
            "verdict": _verdict(p, words),
            "_strong": bool(p.harm),
        }
        for p in found.proofs
    ]
    harmed = [segment_name(p, words) for p in found.proofs if p.harm]
    if harmed:
        listed = words("word.list_join").join(harmed)
        shown.append(Text(words("correction.harm", segments=listed), "warning"))
    shown.append(Table("corrections", words("correction.table"), columns, rows))
    shown.append(Text(words("correction.note"), "note"))
    return shown


def segment_name(proof: Proof, words: Words) -> str:
    """Segment of a correction in words."""
    return " · ".join(words.level(name, level) for name, level in sorted(proof.conditions.items()))


def _verdict(proof: Proof, words: Words) -> str:
    if proof.harm is None:
        return words("word.too_few")
    if proof.harm:
        return words("correction.harms")
    return words("correction.removes", share=words.number("rate0", proof.removed_rate))
