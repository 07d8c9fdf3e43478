"""Claims and delinquency of simulated loans at their cut-off date."""

from typing import Final

import numpy as np

from features.sources.simulated_facts import (
    AGE_BY_YEAR,
    FIRST_SEGMENT,
    SECURED_SHARE,
    SEGMENT_SECURED,
    SPLIT_BY_SECURITY,
)
from features.sources.simulated_packages import PackagePlan, month_end
from features.sources.simulated_types import Bools, Columns, Dates, Floats, Ints
from features.tape import ASSET_CLASSES, BORROWER_TYPES

CREDIT_CARD: Final = ASSET_CLASSES.index("credit_card")
MORTGAGE: Final = ASSET_CLASSES.index("residential_mortgage")
CORPORATE: Final = ASSET_CLASSES.index("corporate")
ENTERPRISE: Final = BORROWER_TYPES.index("enterprise")
SELF_EMPLOYED: Final = BORROWER_TYPES.index("self_employed")
INDIVIDUAL: Final = BORROWER_TYPES.index("individual")
OLDEST_MONTHS: Final = 72
DAYS_TO_DEFAULT: Final = 90

# By segment: median claim in yuan and the spread of its logarithm.
MEDIAN_CLAIM: Final = np.array([25e3, 60e3, 70e3, 150e3, 900e3, 480e3, 500e3, 2.4e6, 15e6, 35e6])
_CLAIM_SPREAD: Final = np.array([0.9, 0.8, 0.5, 0.7, 0.7, 0.5, 0.8, 0.8, 0.9, 0.9])
# By asset class.
_MEAN_AGE: Final = np.array([14.0, 12.0, 10.0, 10.0, 10.0, 12.0, 22.0])
_RATE: Final = np.array([18.25, 12.0, 9.0, 6.0, 4.9, 5.2, 5.0])
_RATE_SPREAD: Final = np.array([0.0, 3.0, 1.5, 0.8, 0.6, 0.7, 0.6])
_TERMS: Final = np.array(
    [
        [0, 0, 0],
        [12, 24, 36],
        [24, 36, 60],
        [12, 36, 60],
        [240, 300, 360],
        [12, 24, 36],
        [12, 36, 60],
    ]
)
_REPAID_SHARE: Final = np.array([0.4, 0.6, 0.5, 0.3, 0.2, 0.2, 0.2])
_WRITE_OFF_AGE: Final = np.array([12.0, 12.0, 16.0, 18.0, 30.0, 24.0, 36.0])


def draw_loans(rng: np.random.Generator, package: Ints, plan: PackagePlan) -> Columns:
    """Draw segment, claim, contract and delinquency of a block of loans.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the block.
    package : array of int
        Position of each loan's package in `plan`.
    plan : PackagePlan
        The packages.

    Returns
    -------
    Columns
        Tape fields of the key, loan and delinquency groups, with `segment`, `month` (of the
        cut-off), `age_months` (账龄) and `claim_amount` beside them.
    """
    size = len(package)
    asset_class = plan.asset_class[package]
    month = plan.month[package]
    secured = rng.random(size) < SECURED_SHARE[asset_class]
    segment = FIRST_SEGMENT[asset_class] + (secured & SPLIT_BY_SECURITY[asset_class])
    columns: Columns = {
        "package": package,
        "originator": plan.originator[package],
        "asset_class": asset_class,
        "month": month,
        "segment": segment,
        "secured": SEGMENT_SECURED[segment],
        "snapshot_date": month_end(month),
    }
    columns |= _delinquency(rng, columns, plan.age_scale[package] * AGE_BY_YEAR[month // 12])
    columns |= _contract(rng, columns)
    columns |= _claim(rng, columns)
    return columns


def _delinquency(rng: np.random.Generator, loans: Columns, age_scale: Floats) -> Columns:
    size = len(age_scale)
    asset_class, cut_off = loans["asset_class"], loans["snapshot_date"]
    age = np.floor(rng.gamma(1.1, _MEAN_AGE[asset_class] / 1.1) * age_scale)
    age = np.minimum(age, OLDEST_MONTHS).astype(np.int64)
    # A day up to the 28th, so that exactly `age` whole months lie between it and the month's end.
    default = month_start(cut_off, -age) + rng.integers(0, 28, size).astype("timedelta64[D]")
    overdue = default - np.timedelta64(DAYS_TO_DEFAULT, "D")
    worse = age / _MEAN_AGE[asset_class] + rng.normal(0.0, 0.5, size)
    five_category = 2 + (worse > 0.7).astype(np.int64) + (worse > 1.8)
    odds = (age - _WRITE_OFF_AGE[asset_class]) / 4.0
    written_off = (rng.random(size) < 1 / (1 + np.exp(-odds))) & (age > 0)
    since = (cut_off - default).astype(np.int64)
    written = default + np.floor(since * rng.uniform(0.3, 1.0, size)).astype("timedelta64[D]")
    return {
        "age_months": age,
        "default_date": default,
        "first_overdue_date": overdue,
        "days_past_due": (cut_off - overdue).astype(np.int64),
        "five_category": five_category,
        "written_off": written_off,
        "write_off_date": np.where(written_off, written, np.datetime64("NaT", "D")),
        "forbearance_flag": rng.random(size) < 0.06,
    }


def _contract(rng: np.random.Generator, loans: Columns) -> Columns:
    asset_class, overdue = loans["asset_class"], loans["first_overdue_date"]
    size = len(asset_class)
    card = asset_class == CREDIT_CARD
    term = _TERMS[asset_class, rng.integers(0, 3, size)]
    on_book = np.floor(np.where(card, 96, term) * rng.uniform(0.1, 0.85, size)).astype(np.int64)
    on_book = np.maximum(np.where(asset_class == MORTGAGE, on_book // 3, on_book), 3)
    originated = month_start(overdue, -on_book) + rng.integers(0, 28, size).astype("timedelta64[D]")
    rate = _RATE[asset_class] + _RATE_SPREAD[asset_class] * rng.normal(0.0, 1.0, size)
    borrower_type = np.where(asset_class <= MORTGAGE, INDIVIDUAL, ENTERPRISE)
    borrower_type[asset_class == ASSET_CLASSES.index("personal_business")] = SELF_EMPLOYED
    maturity = month_start(originated, term) + (originated - month_start(originated, term * 0))
    return {
        "borrower_type": borrower_type,
        "on_book_months": on_book,
        "origination_date": originated,
        "term_months": np.where(card, np.nan, term),
        "maturity_date": np.where(card, np.datetime64("NaT", "D"), maturity),
        "interest_rate": rate.clip(2.0, 24.0).round(2),
    }


def _claim(rng: np.random.Generator, loans: Columns) -> Columns:
    segment, asset_class = loans["segment"], loans["asset_class"]
    size = len(segment)
    claim = MEDIAN_CLAIM[segment] * rng.lognormal(0.0, 1.0, size) ** _CLAIM_SPREAD[segment]
    years_unpaid = loans["days_past_due"] / 365.0
    # Penalty interest at 1.3 times the contract's; courts stop cards at 24% a year.
    interest = loans["interest_rate"] / 100 * 1.3 * years_unpaid * rng.uniform(0.6, 1.0, size)
    fees = rng.uniform(0.0, 0.02, size) * (loans["age_months"] > 2)
    principal = (claim / (1 + interest + fees)).round(2)
    repaid = _REPAID_SHARE[asset_class] * rng.random(size)
    interest_amount = (principal * interest).round(2)
    fees_amount = (principal * fees).round(2)
    return {
        "principal_outstanding": principal,
        "interest_outstanding": interest_amount,
        "fees_outstanding": fees_amount,
        "claim_amount": (principal + interest_amount + fees_amount).round(2),
        "original_amount": np.ceil(principal / (1 - repaid) / 100) * 100,
    }


def month_start(day: Dates, months: Ints) -> Dates:
    """First day of the month that lies `months` after that of `day`."""
    return np.asarray((day.astype("datetime64[M]") + months).astype("datetime64[D]"))


def draw_flag(rng: np.random.Generator, odds: Floats) -> Bools:
    """Draw flags with probability `1 / (1 + exp(-odds))`."""
    return np.asarray(rng.random(len(odds)) < 1 / (1 + np.exp(-odds)))
