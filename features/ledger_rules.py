"""The rules a ledger must keep against itself, its tape and its portfolio's description."""

from collections.abc import Iterator

import polars as pl

from features.ledger import Ledger
from features.months import month_number
from features.portfolio import PortfolioMeta
from features.rules import Rule, always_vital, limit_rules

# Columns the checked ledger is joined with, one value for each loan of the tape.
KNOWN_LOAN = "__known_loan"
CUT_OFF = "__cut_off"
CLOSED = "__closed"
LOAN_AMOUNT = "__loan_amount"
# Columns set where several rows clash.
REPEATED = "__repeated"
SEVERAL_UNDATED = "__several_undated"
# What makes two rows the same posting.
POSTING = ("loan_id", "period", "route", "recorded_at")


def loan_facts(tape: pl.LazyFrame) -> pl.LazyFrame:
    """Return what the ledger is held against, one row a loan of the tape."""
    return tape.filter(pl.col("loan_id").is_not_null()).select(
        "loan_id",
        pl.lit(True).alias(KNOWN_LOAN),
        pl.col("snapshot_date").alias(CUT_OFF),
        # What the tape says wrongly is the tape's fault alone.
        pl.when(pl.col("closed_date") >= pl.col("snapshot_date"))
        .then(pl.col("closed_date"))
        .alias(CLOSED),
        pl.when(pl.col("original_amount") > 0).then(pl.col("original_amount")).alias(LOAN_AMOUNT),
    )


def joined_with_loans(ledger: pl.LazyFrame, loans: pl.LazyFrame) -> pl.LazyFrame:
    """Return the ledger with the `loan_facts` of its loans, null where there is no such loan."""
    # A repeated loan is a fault of the tape: here any of its rows will do.
    return ledger.join(loans.unique("loan_id", keep="any"), on="loan_id", how="left")


def ledger_rules(meta: PortfolioMeta) -> list[Rule]:
    """Return all rules of a ledger that is joined with `loan_facts` and flagged for clashes."""
    return [*limit_rules(Ledger.columns(), always_vital), *_loan_rules(), *_date_rules(meta)]


def _loan_rules() -> Iterator[Rule]:
    gross = pl.col("gross_amount")
    yield Rule(
        "unknown_loan",
        "loan_id",
        pl.col("loan_id").is_null() | pl.col(KNOWN_LOAN).is_not_null(),
        "cash for a loan that is not on the tape: add the loan or drop the row",
    )
    yield Rule(
        "repeated_posting",
        "loan_id",
        pl.col(REPEATED).is_null(),
        "the same loan, period, route and recording time stand in several rows: keep one, or add"
        " the amounts up",
        beside=POSTING[1:],
    )
    yield Rule(
        "collateral_above_gross",
        "collateral_amount",
        pl.col("collateral_amount") <= gross,
        "is part of gross_amount and cannot exceed it",
        beside=("gross_amount",),
    )
    yield Rule(
        "amount_unit",
        "gross_amount",
        gross.is_finite().not_() | (gross <= 1_000 * pl.col(LOAN_AMOUNT)),
        "over 1,000 times the original amount of the loan: check that none of the two is in 万元",
        "warning",
    )


def _date_rules(meta: PortfolioMeta) -> Iterator[Rule]:
    period, recorded = pl.col("period"), pl.col("recorded_at")
    until = meta.observed_until_date
    yield Rule(
        "after_observation",
        "period",
        period <= until,
        f"the portfolio is observed until {until} (portfolio.toml): correct either date",
    )
    yield Rule(
        "recorded_before_cash",
        "recorded_at",
        recorded >= period.cast(pl.Datetime("us")),
        "cash cannot be known before the month it came in: correct one of the two",
        beside=("period",),
    )
    if meta.recovery_timing == "none":
        yield Rule(
            "several_undated",
            "loan_id",
            pl.col(SEVERAL_UNDATED).is_null(),
            "the ultimate outcome of a loan is one undated row: add the rows up",
        )
        yield Rule(
            "dated_in_undated",
            "period",
            period.is_null() | (month_number(pl.col("period")) <= month_number(pl.col(CUT_OFF))),
            "recovery_timing is 'none', where a recovery has no date: leave it empty, or declare"
            " the timing in portfolio.toml",
        )
    else:
        yield Rule(
            "undated_in_dated",
            "period",
            period.is_not_null(),
            f"recovery_timing is {meta.recovery_timing!r}: give the month of the cash",
        )
    yield Rule(
        "cash_after_closing",
        "period",
        month_number(pl.col("period")) <= month_number(pl.col(CLOSED)),
        "the loan was closed before (closed_date): correct one of the two",
        "warning",
    )
