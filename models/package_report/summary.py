"""A package's valuation as plain values, for machines."""

from dataclasses import asdict
from typing import Any

from models.package import PackageValuation


def summary_of(valuation: PackageValuation) -> dict[str, Any]:
    """Everything a valuation tells but the single loans.

    Returns
    -------
    dict
        Amounts in `currency`, rates as fractions, days in ISO form; tables as lists of rows. What
        is not known is None, and `left_out` says why.
    """
    v = valuation
    return {
        "title": v.title,
        "package_ids": list(v.package_ids[:100]),
        "portfolio": v.meta.name,
        "currency": v.meta.currency,
        "recovery_basis": v.meta.recovery_basis,
        "first_cut_off_date": v.cut_off_dates[0].isoformat(),
        "last_cut_off_date": v.cut_off_dates[1].isoformat(),
        "loans": v.loans,
        "scored_loans": v.scored_loans,
        "unscored_loans": v.unscored_loans,
        "borrowers": v.borrowers,
        "expected_recovery_amount": v.expected_recovery_amount,
        "recovery_rate": v.recovery_rate,
        "totals": [asdict(basis) for basis in v.bases],
        "announcement": asdict(v.announcement),
        "spread": None if v.spread is None else asdict(v.spread),
        "spread_months": v.spread_months,
        "curve": v.curve.to_dicts(),
        "segments": v.segments.to_dicts(),
        "base_amount": v.base_amount,
        "contributions_by_group": v.groups.to_dicts(),
        "contributions_by_feature": v.factors.to_dicts(),
        "rate_distribution": v.distribution.to_dicts(),
        "flags": v.flags.to_dicts(),
        "unscored": v.unscored.to_dicts(),
        "left_out": list(v.left_out),
    }
