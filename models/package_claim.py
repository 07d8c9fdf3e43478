"""What is claimed, and the expected recovery as a rate on it: the figures of an announcement."""

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Basis:
    """The expected recovery as a rate on one denominator.

    Attributes
    ----------
    name : {"ead", "principal", "principal_and_interest"}
        Denominator.
    package_amount : float
        Its total over all loans that state it, scored or not; currency.
    amount : float
        Its total over the scored loans that state it.
    loans : int
        Scored loans that state it.
    expected_recovery_amount : float
        Expected recovery of those same loans.
    recovery_rate : float, optional
        Their quotient; None where nothing is outstanding.
    """

    name: str
    package_amount: float
    amount: float
    loans: int
    expected_recovery_amount: float
    recovery_rate: float | None


@dataclass(frozen=True)
class Announcement:
    """What a transfer announcement (转让公告) prints of a package, and a buyer compares with.

    Weights are principal + interest at the tape's date. A figure whose columns the tape lacks is
    None, never zero.

    Attributes
    ----------
    claim_amount : float, optional
        Principal + interest, currency.
    claim_loans : int
        Loans that state both.
    weighted_days_past_due : float, optional
        逾期天数, days.
    weighted_months_since_default : float, optional
        账龄, months.
    largest_borrower_claim_amount, mean_borrower_claim_amount : float, optional
        By borrower, over borrowers with a stated claim.
    largest_borrower_share : float, optional
        Largest borrower's claim as a fraction of `claim_amount`.
    """

    claim_amount: float | None
    claim_loans: int
    weighted_days_past_due: float | None
    weighted_months_since_default: float | None
    largest_borrower_claim_amount: float | None
    mean_borrower_claim_amount: float | None
    largest_borrower_share: float | None


def total(frame: pl.DataFrame, column: str) -> float:
    """Sum of a column, missing values left out."""
    return float(frame[column].sum())


def recovery_bases(
    loans: pl.DataFrame, scored: pl.DataFrame, present: frozenset[str]
) -> tuple[Basis, ...]:
    """Recovery rates of the scored loans on every denominator whose columns are `present`."""
    columns = {"ead": "ead"}
    if "principal_outstanding" in present:
        columns["principal"] = "principal_outstanding"
        if "interest_outstanding" in present:
            columns["principal_and_interest"] = "claim_amount"
    bases = []
    for name, column in columns.items():
        stated = scored.filter(pl.col(column).is_not_null())
        amount, expected = total(stated, column), total(stated, "expected_recovery_amount")
        rate = expected / amount if amount > 0 else None
        bases.append(Basis(name, total(loans, column), amount, stated.height, expected, rate))
    return tuple(bases)


def announcement_of(loans: pl.DataFrame) -> Announcement:
    """Aggregates over the loans that state `claim_amount`, scored or not."""
    stated = loans.filter(pl.col("claim_amount").is_not_null())
    if stated.is_empty():
        return Announcement(None, 0, None, None, None, None, None)
    claim = total(stated, "claim_amount")
    by_borrower = (
        stated.group_by("borrower_id", maintain_order=True).agg(pl.col("claim_amount").sum())
    )["claim_amount"].to_numpy()
    largest = float(by_borrower.max())
    return Announcement(
        claim_amount=claim,
        claim_loans=stated.height,
        weighted_days_past_due=_weighted(stated, "days_past_due"),
        weighted_months_since_default=_weighted(stated, "months_since_default"),
        largest_borrower_claim_amount=largest,
        mean_borrower_claim_amount=float(by_borrower.mean()),
        largest_borrower_share=largest / claim if claim > 0 else None,
    )


def _weighted(stated: pl.DataFrame, column: str) -> float | None:
    known = stated.filter(pl.col(column).is_not_null())
    weight = total(known, "claim_amount")
    return float((known[column] * known["claim_amount"]).sum()) / weight if weight > 0 else None
