"""The rules a tape must keep, in one table: field, what must hold, the mend, and how bad it is."""

from collections.abc import Collection, Iterator
from datetime import date
from typing import Final

import polars as pl

from features.portfolio import ExtraField, RecoveryBasis
from features.rules import AGE_FIELDS, Expected, Rule, extra_rules, limit_rules
from features.tape import SECURED_GUARANTEES, Tape
from features.vocabulary import region_codes

# Two calendar months: sources count days past due from a due date or from the month's end.
_DAYS_APART: Final = 62
# Column that counts the rows with a row's loan_id.
COPIES: Final = "__copies"


def tape_rules(expected: Expected, currency: str | None, present: Collection[str]) -> list[Rule]:
    """Return all rules of a tape: limits, extra fields, and what spans fields.

    Parameters
    ----------
    expected : Expected
    currency : str, optional
        The one currency; None when the tape names none.
    present : collection of str
        Columns the file has.
    """
    return [
        *limit_rules(Tape.columns()),
        *extra_rules(expected.extra_fields),
        *_declared_rules(expected.extra_fields, present),
        *_region_rules(),
        *_identity_rules(expected, currency),
        *_exposure_rules(expected.recovery_basis),
        *_date_rules(expected.observed_until_date),
        *_agreement_rules(),
        *_needed_rules(),
    ]


def _declared_rules(
    extra_fields: tuple[ExtraField, ...], present: Collection[str]
) -> Iterator[Rule]:
    # A declared field that is there may be empty in any row: only its absence is a fault.
    for extra in extra_fields:
        if extra.name not in present:
            yield Rule(
                "absent_column",
                extra.name,
                pl.col(extra.name).is_not_null(),
                "declared under extra_fields: add the column, or drop the declaration",
            )


def _region_rules() -> Iterator[Rule]:
    known = pl.Enum(sorted(region_codes()))
    for name in ("borrower_adcode", "collateral_adcode", "court_adcode"):
        code = pl.col(name)
        yield Rule(
            "unknown_region",
            name,
            code.str.contains(r"^\d{6}$").not_() | code.cast(known, strict=False).is_not_null(),
            "not a code of GB/T 2260 (features/reference/adcodes.csv): give the present code",
            "warning",
        )


def _identity_rules(expected: Expected, currency: str | None) -> Iterator[Rule]:
    yield Rule(
        "duplicate_loan",
        "loan_id",
        pl.col(COPIES) == 1,
        "the identifier stands in several rows, all set aside: keep one row a loan",
    )
    if currency is not None:
        yield Rule(
            "mixed_currency",
            "currency",
            pl.col("currency") == currency,
            f"convert the amounts to {currency}, the currency of this portfolio, or split it",
        )
    if expected.source_system is not None:
        yield Rule(
            "other_source",
            "source_system",
            pl.col("source_system").cast(pl.String) == expected.source_system,
            f"portfolio.toml says {expected.source_system}: name one source or split it",
            "warning",
        )


def _exposure_rules(basis: RecoveryBasis) -> Iterator[Rule]:
    principal, interest = pl.col("principal_outstanding"), pl.col("interest_outstanding")
    original, appraised = pl.col("original_amount"), pl.col("appraised_value")
    claim = principal + interest.fill_null(0) + pl.col("fees_outstanding").fill_null(0)
    needed = {"claim": 2, "principal": 1, "original_amount": 0}[basis]
    for name in ("principal_outstanding", "interest_outstanding")[:needed]:
        yield Rule(
            "missing_amount",
            name,
            pl.col(name).is_not_null(),
            f"give the amount at the cut-off date: recoveries are measured on the {basis};"
            " 0 where nothing is owed",
        )
    if basis != "original_amount":
        yield Rule(
            "no_exposure",
            "principal_outstanding",
            (claim if basis == "claim" else principal) != 0,
            f"the {basis} at the cut-off date is 0: nothing to recover; take the loan out",
        )
    unit = "one of the two looks 10,000 times off: check that none is in 万元"
    # Errors of unit show as a factor of 10,000, honest differences never reach 1,000. Amounts that
    # are no amounts have faults of their own.
    sound = claim.is_finite() & (claim > 0) & (original > 0)
    yield Rule(
        "amount_unit",
        "principal_outstanding",
        sound.not_() | (claim <= 1_000 * original),
        unit,
        "warning",
        beside=("original_amount",),
    )
    yield Rule(
        "amount_unit",
        "appraised_value",
        (sound & (appraised > 0) & appraised.is_finite()).not_()
        | ((claim <= 1_000 * appraised) & (appraised <= 5_000 * original)),
        unit,
        "warning",
        beside=("principal_outstanding", "original_amount"),
    )
    yield Rule(
        "rate_as_fraction",
        "interest_rate",
        pl.col("interest_rate").is_between(0, 0.5, closed="none").not_(),
        "looks like a fraction: give % a year, so 12 and not 0.12",
        "warning",
    )
    yield Rule(
        "payment_above_loan",
        "last_payment_amount",
        pl.col("last_payment_amount") <= 1.05 * original,
        "the last payment exceeds the whole loan: check the amount and its unit",
        "warning",
        beside=("original_amount",),
    )


def _date_rules(observed_until: date | None) -> Iterator[Rule]:
    cut_off = pl.col("snapshot_date")
    if observed_until is not None:
        for name in ("snapshot_date", "closed_date"):
            yield Rule(
                "after_observation",
                name,
                pl.col(name) <= observed_until,
                f"the portfolio is observed until {observed_until} (portfolio.toml): correct"
                " either date",
            )
    for name in (
        "origination_date",
        "first_overdue_date",
        "default_date",
        "write_off_date",
        "last_payment_date",
        "valuation_date",
        "lawsuit_date",
    ):
        yield Rule(
            "after_cut_off",
            name,
            pl.col(name) <= cut_off,
            "lies after the cut-off date, when it cannot have been known: give the state at the"
            " cut-off",
            beside=("snapshot_date",),
        )
    for earlier, later, severity in (
        ("origination_date", "maturity_date", "error"),
        ("origination_date", "default_date", "error"),
        ("origination_date", "first_overdue_date", "error"),
        ("snapshot_date", "closed_date", "error"),
        ("origination_date", "last_payment_date", "warning"),
        ("origination_date", "lawsuit_date", "warning"),
        ("first_overdue_date", "default_date", "warning"),
        ("default_date", "write_off_date", "warning"),
    ):
        yield Rule(
            "dates_reversed",
            later,
            pl.col(earlier) <= pl.col(later),
            f"lies before {earlier}: correct one of the two",
            "error" if severity == "error" else "warning",
            beside=(earlier,),
        )


def _agreement_rules() -> Iterator[Rule]:
    cut_off, overdue = pl.col("snapshot_date"), pl.col("first_overdue_date")
    default, maturity = pl.col("default_date"), pl.col("maturity_date")
    age = cut_off.dt.year() - pl.col("birth_year")
    yield Rule("borrower_age", "birth_year", age.is_between(18, 100),
               "the borrower would be under 18 or over 100 then: correct the year", "warning",
               blanks=True, beside=("snapshot_date",))  # fmt: skip
    yield Rule("implausible_age", "default_date", (cut_off - default).dt.total_days() <= 40 * 366,
               "the default would be over 40 years old: correct the date", "warning",
               beside=("snapshot_date",))  # fmt: skip
    days = (cut_off - overdue).dt.total_days() - pl.col("days_past_due")
    yield Rule("days_disagree", "days_past_due", days.abs() <= _DAYS_APART,
               f"differs by more than {_DAYS_APART} days from the days since first_overdue_date",
               "warning", beside=("first_overdue_date", "snapshot_date"))  # fmt: skip
    months = (maturity - pl.col("origination_date")).dt.total_days() / 30.4375
    yield Rule("term_disagrees", "term_months", (months - pl.col("term_months")).abs() <= 3,
               "differs by more than 3 months from origination to maturity", "warning",
               beside=("origination_date", "maturity_date"))  # fmt: skip
    yield Rule("payments_disagree", "paid_last_12m",
               (pl.col("paid_last_12m") >= 0.99 * pl.col("last_payment_amount"))
               | ((cut_off - pl.col("last_payment_date")).dt.total_days() > 360),
               "is below the last payment, which lies in those 12 months", "warning",
               beside=("last_payment_amount", "last_payment_date"))  # fmt: skip
    yield Rule("stage_disagrees", "lawsuit_date",
               pl.col("lawsuit_date").is_null() | (pl.col("legal_stage") != "not_sued"),
               "legal_stage is not_sued: correct one of the two", "warning")  # fmt: skip
    yield Rule("write_off_disagrees", "write_off_date",
               pl.col("write_off_date").is_null() | pl.col("written_off"),
               "written_off is false: correct one of the two", "warning")  # fmt: skip
    yield Rule("outcome_disagrees", "closed_date",
               pl.col("closed_date").is_null() | (pl.col("disposal_status") != "open"),
               "disposal_status is open: correct one of the two", "warning")  # fmt: skip
    yield Rule("unsecured_collateral", "appraised_value",
               pl.col("appraised_value").is_null()
               | pl.col("guarantee_type").is_in(SECURED_GUARANTEES),
               "guarantee_type is not mortgage, pledge or mixed: correct one of the two", "warning",
               beside=("guarantee_type",))  # fmt: skip


def _needed_rules() -> Iterator[Rule]:
    yield Rule(
        "missing_age",
        "default_date",
        pl.any_horizontal(pl.col(name).is_not_null() for name in AGE_FIELDS),
        "give default_date, first_overdue_date or days_past_due: one of them is needed",
        columns=AGE_FIELDS,
    )
    secured = pl.col("guarantee_type").is_in(SECURED_GUARANTEES)
    chinese = pl.col("currency") == "CNY"
    for condition, why, names in (
        (pl.col("asset_class") != "credit_card", "unless asset_class is credit_card",
         ("origination_date",)),
        (pl.col("borrower_type") == "enterprise", "for an enterprise", ("industry_code",)),
        (secured, "for a secured loan",
         ("collateral_type", "collateral_adcode", "appraised_value", "valuation_date")),
        (chinese, "for a loan in CNY",
         ("five_category", "written_off", "legal_stage", "borrower_adcode")),
    ):  # fmt: skip
        for name in names:
            yield Rule(
                "missing_where_needed",
                name,
                condition.not_() | pl.col(name).is_not_null(),
                f"needed {why}: valued without it, as missing",
                "warning",
            )
