"""Payment behaviour up to the cut-off, from the tape's own fields and from the ledger."""

import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD, PAID_SINCE_SNAPSHOT
from features.feature import Feature, ratio
from features.frames import Frame
from features.months import month_number, whole_months

PAID_LAST_3M = "ledger_paid_3m_amount"
PAID_LAST_12M = "ledger_paid_12m_amount"
PAYING_MONTHS_12M = "ledger_paying_months_12m"
LAST_PAYMENT = "ledger_last_payment_date"
LEDGER_COLUMNS = (
    PAID_LAST_3M,
    PAID_LAST_12M,
    PAYING_MONTHS_12M,
    LAST_PAYMENT,
    PAID_SINCE_SNAPSHOT,
)
# What the ledger tells of a loan without cash.
NOTHING_KNOWN = tuple(
    pl.lit(None, dtype=pl.Date() if name == LAST_PAYMENT else pl.Float64()).alias(name)
    for name in LEDGER_COLUMNS
)
_CENTS = 100
_OF_A_CENT = 0.01


def known_at_cut_off(ledger: Frame, cut_offs: Frame) -> Frame:
    """Ledger rows that had been received and recorded by each loan's cut-off date.

    Parameters
    ----------
    ledger : polars.LazyFrame or polars.DataFrame
        The whole ledger, later months included.
    cut_offs : polars.LazyFrame or polars.DataFrame
        `loan_id`, `snapshot_date`, `cut_off_date`.

    Returns
    -------
    polars.LazyFrame or polars.DataFrame
        Rows with `months_ago` (0 in the cut-off's own month) and the two dates.
    """
    received = (
        ledger.filter(pl.col("period").is_not_null())
        .join(cut_offs, on="loan_id", how="inner")
        .with_columns(
            months_ago=month_number(pl.col("cut_off_date")) - month_number(pl.col("period"))
        )
    )
    return received.filter(
        pl.col("months_ago") >= 0, pl.col("recorded_at").dt.date() <= pl.col("cut_off_date")
    )


def ledger_behaviour(ledger: Frame, cut_offs: Frame) -> Frame:
    """Cash by loan before the cut-off: one row for each loan with any, columns `LEDGER_COLUMNS`.

    Amounts are summed in whole cents, so that neither row order nor threads change a bit.
    """
    cents = (pl.col("gross_amount") * _CENTS).round().cast(pl.Int64)
    since_snapshot = month_number(pl.col("period")) > month_number(pl.col("snapshot_date"))
    recent = pl.col("months_ago") < 12
    return (
        known_at_cut_off(ledger, cut_offs)
        .with_columns(cents=cents)
        .group_by("loan_id")
        .agg(
            (pl.col("cents").filter(pl.col("months_ago") < 3).sum() * _OF_A_CENT).alias(
                PAID_LAST_3M
            ),
            (pl.col("cents").filter(recent).sum() * _OF_A_CENT).alias(PAID_LAST_12M),
            pl.col("period")
            .filter(recent & (pl.col("cents") > 0))
            .n_unique()
            .cast(pl.Float64)
            .alias(PAYING_MONTHS_12M),
            pl.col("period").filter(pl.col("cents") > 0).max().alias(LAST_PAYMENT),
            (pl.col("cents").filter(since_snapshot).sum() * _OF_A_CENT).alias(PAID_SINCE_SNAPSHOT),
        )
    )


# What the tape says of payments ends at its own date: at a later cut-off only the ledger knows.
_at_snapshot = pl.col(CUT_OFF) == pl.col("snapshot_date")
_last_payment_months = pl.min_horizontal(
    whole_months(pl.col("last_payment_date"), pl.col(CUT_OFF)),
    (month_number(pl.col(CUT_OFF)) - month_number(pl.col(LAST_PAYMENT))).cast(pl.Float64),
)
_paid_12m = pl.max_horizontal(
    # The tape's own figure covers what was paid before the ledger begins.
    pl.when(_at_snapshot).then(pl.col("paid_last_12m")),
    pl.col(PAID_LAST_12M),
)

FEATURES = (
    Feature(
        "months_since_last_payment",
        "age",
        "number",
        _last_payment_months,
        "months since the last payment",
        "距最近还款月数",
        "months",
    ),
    Feature(
        "last_payment_rate",
        "payments",
        "number",
        ratio(pl.when(_at_snapshot).then(pl.col("last_payment_amount")), pl.col(EAD)),
        "last payment over the exposure",
        "最近还款额占债权",
        "ratio",
    ),
    Feature(
        "paid_12m_rate",
        "payments",
        "number",
        ratio(_paid_12m, pl.col(EAD)),
        "paid in the last 12 months over the exposure",
        "近12月还款额占债权",
        "ratio",
    ),
    Feature(
        "paid_3m_rate",
        "payments",
        "number",
        ratio(pl.col(PAID_LAST_3M), pl.col(EAD)),
        "paid in the last 3 months over the exposure",
        "近3月还款额占债权",
        "ratio",
    ),
    Feature(
        "paying_months_12m",
        "payments",
        "number",
        pl.col(PAYING_MONTHS_12M),
        "months with a payment among the last 12",
        "近12月有还款的月数",
        "months",
    ),
    Feature(
        "forbearance",
        "payments",
        "flag",
        pl.col("forbearance_flag"),
        "restructured or in a payment plan",
        "重组/展期/个性化分期",
    ),
)
