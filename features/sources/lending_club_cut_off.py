"""The charge-off date of a LendingClub loan, worked out from the principal it repaid.

The next instalment after those that the repaid principal covers is the first one missed; default
is three months later (90 days past due) and the charge-off two months after that, at the end of the
month (LendingClub charges off at 120 to 150 days past due).
"""

from typing import Final

import polars as pl

MONTHS_TO_DEFAULT: Final = 3
MONTHS_TO_CHARGE_OFF: Final = 5


def instalments_paid(
    original_amount: pl.Expr, principal_paid: pl.Expr, annual_rate: pl.Expr, term_months: pl.Expr
) -> pl.Expr:
    """Monthly instalments of an annuity loan that a repaid principal stands for.

    After k of n instalments at the monthly rate r the share ((1+r)^k - 1) / ((1+r)^n - 1) of the
    principal is repaid; solved for k.

    Parameters
    ----------
    original_amount, principal_paid : polars.Expr
        Amounts.
    annual_rate : polars.Expr
        Nominal rate, percent a year; at 0 repayment is linear.
    term_months : polars.Expr
        Instalments in all.

    Returns
    -------
    polars.Expr
        Between 0 and the term; not whole where an instalment was paid in part.
    """
    share = (principal_paid / original_amount).clip(0, 1)
    growth = 1 + annual_rate / 1200
    annuity = (1 + share * (growth**term_months - 1)).log() / growth.log()
    return pl.when(annual_rate > 0).then(annuity).otherwise(share * term_months)


def with_cut_off(loans: pl.DataFrame) -> pl.DataFrame:
    """Add the instalments paid, the dates of arrears, default and charge-off, and the package.

    Parameters
    ----------
    loans : polars.DataFrame
        `original_amount`, `total_rec_prncp`, `interest_rate`, `term_months`, `origination_date`.
    """
    paid = instalments_paid(
        pl.col("original_amount"),
        pl.col("total_rec_prncp"),
        pl.col("interest_rate"),
        pl.col("term_months").cast(pl.Float64),
    ).round(2)
    # A cent of rounding in the schedule must not turn a paid instalment into a missed one.
    missed = (pl.col("instalments_paid") + 0.05).floor().cast(pl.Int32) + 1
    month = pl.col("origination_date").dt.month_start()
    return (
        loans.with_columns(instalments_paid=paid)
        .with_columns(
            first_overdue_date=month.dt.offset_by(pl.format("{}mo", missed)),
            default_date=month.dt.offset_by(pl.format("{}mo", missed + MONTHS_TO_DEFAULT)),
            snapshot_date=month.dt.offset_by(
                pl.format("{}mo", missed + MONTHS_TO_CHARGE_OFF)
            ).dt.month_end(),
            maturity_date=pl.col("origination_date").dt.offset_by(
                pl.format("{}mo", pl.col("term_months"))
            ),
        )
        .with_columns(package_id=pl.format("LC-{}", pl.col("snapshot_date").dt.year()))
    )
