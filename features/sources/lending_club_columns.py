"""The raw columns of LendingClub's loan statistics and how they are read."""

from typing import Final

import polars as pl

from features.sources import parsing
from features.sources.lending_club_fields import (
    EMPLOYMENT_LENGTHS,
    GRADES,
    LATER_BUREAU,
    SUB_GRADES,
)
from features.sources.parsing import text
from features.sources.reading import Field, category_field, date_field, number_field

REQUIRED: Final = (
    "loan_status",
    "funded_amnt",
    "total_rec_prncp",
    "term",
    "int_rate",
    "issue_d",
)
OUTCOMES: Final = ("recoveries", "collection_recovery_fee")
# Tell when the file was drawn; they describe the file and touch no row of the tape.
OBSERVATION_DATES: Final = ("last_pymnt_d", "last_credit_pull_d")
_PERCENT = "must be a percentage", "write it as 10.65% or 10.65"
_PLAIN_NUMBERS: Final = (
    "loan_amnt",
    "funded_amnt",
    "funded_amnt_inv",
    "installment",
    "annual_inc",
    "annual_inc_joint",
    "fico_range_low",
    "fico_range_high",
    "total_rec_prncp",
    "inq_last_6mths",
    "delinq_2yrs",
    "mths_since_last_delinq",
    "mths_since_last_record",
    "open_acc",
    "pub_rec",
    "pub_rec_bankruptcies",
    "tax_liens",
    "revol_bal",
    "total_acc",
    "collections_12_mths_ex_med",
    "acc_now_delinq",
    "delinq_amnt",
    "chargeoff_within_12_mths",
    *OUTCOMES,
)
_CATEGORIES: Final = (
    "home_ownership",
    "verification_status",
    "purpose",
    "initial_list_status",
    "application_type",
)


def raw_fields(*, rates_are_fractions: bool) -> tuple[Field, ...]:
    """Describe how each raw column is read, but for the status and the observation dates."""

    def percent(value: pl.Expr) -> pl.Expr:
        return parsing.percentage(value, bare_is_fraction=rates_are_fractions)

    def always_percent(value: pl.Expr) -> pl.Expr:
        return parsing.percentage(value, bare_is_fraction=False)

    def before_issue(value: pl.Expr) -> pl.Expr:
        return parsing.date(value, latest_year=parsing.date(text("issue_d")).dt.year())

    levels = {"grade": GRADES, "sub_grade": SUB_GRADES, "emp_length": EMPLOYMENT_LENGTHS}
    return (
        category_field("id", parse=parsing.identifier),
        category_field("addr_state", parse=parsing.us_state),
        Field("term", parsing.months, "must be a number of months", "write it as 36 months"),
        date_field("issue_d"),
        date_field("earliest_cr_line", parse=before_issue),
        Field("int_rate", percent, *_PERCENT),
        Field("revol_util", percent, *_PERCENT),
        # Percent points in every release, whatever happened to the rates.
        Field("dti", always_percent, *_PERCENT),
        Field("dti_joint", always_percent, *_PERCENT),
        *(number_field(name) for name in _PLAIN_NUMBERS),
        *(number_field(extra.name) for extra in LATER_BUREAU),
        *(category_field(name) for name in _CATEGORIES),
        *(
            category_field(name, parse=parsing.one_of({level: level for level in values}))
            for name, values in levels.items()
        ),
    )
