"""What the term of an SBA loan says of its contract, at the charge-off.

The publisher's dictionary calls `Term` the loan term, but for charged-off loans it behaves like the
months *left*: `Term` plus the months from disbursement to charge-off piles up one or two months
after whole years (85 and 86 for a third of the loans charged off to 2011, then 61 and 122). So the
contract is taken as the largest whole number of years below that sum. It is an inference, and the
raw term stays beside it.
"""

from typing import Final

import polars as pl

from features.months import month_number
from features.sources.extra_fields import number_extra

# A rate near the prime-based caps of the programme; the file holds no interest rate.
_ASSUMED_RATE: Final = 0.08

TERM_EXTRAS: Final = (
    number_extra(
        "months_since_approval",
        "Months from approval to charge-off",
        "批准至核销月数",
        "age",
        "months",
    ),
    number_extra("approval_year", "Year of approval", "批准年份", "age", "year"),
    number_extra(
        "total_term_months",
        "Reported term plus months since disbursement",
        "报告期限加放款后月数",
        "age",
        "months",
    ),
    number_extra("contract_term_months", "Inferred contract term", "推断合同期限", "age", "months"),
    number_extra(
        "months_past_contract_year",
        "Months of the total term past whole years",
        "总期限超出整年月数",
        "age",
        "months",
    ),
    number_extra(
        "contract_elapsed_months",
        "Inferred months run of the contract",
        "推断已履约月数",
        "age",
        "months",
    ),
    number_extra(
        "contract_elapsed", "Inferred share of the contract run", "推断已履约比例", "age", "ratio"
    ),
    number_extra(
        "months_to_total_term",
        "Months since disbursement over the total term",
        "放款后月数占总期限",
        "age",
        "ratio",
    ),
    number_extra(
        "scheduled_balance",
        "Balance scheduled by the inferred contract at 8%",
        "按8%推断的计划余额比例",
        "age",
        "ratio",
    ),
    number_extra(
        "scheduled_balance_total_term",
        "Balance scheduled by the total term at 8%",
        "按8%和总期限计算的计划余额比例",
        "age",
        "ratio",
    ),
    number_extra(
        "approved_cap",
        "Amount approved over amount disbursed, at most 1",
        "批准放款比(上限1)",
        "exposure",
        "ratio",
    ),
    number_extra(
        "scheduled_loss_cap",
        "Scheduled balance limited by the amount approved",
        "以批准金额为限的计划余额比例",
        "exposure",
        "ratio",
    ),
)


def _scheduled_balance(elapsed: pl.Expr, term: pl.Expr) -> pl.Expr:
    """Annuity balance after `elapsed` of `term` months, as a fraction of the amount."""
    monthly = _ASSUMED_RATE / 12
    whole = (1 + monthly) ** term
    return (whole - (1 + monthly) ** pl.min_horizontal(pl.max_horizontal(elapsed, 0.0), term)) / (
        whole - 1
    )


def contract_terms(typed: pl.DataFrame) -> pl.DataFrame:
    """Add the columns of `TERM_EXTRAS` from `Term`, the three dates and the amounts."""
    charged_off = month_number(pl.col("ChgOffDate"))
    since_disbursement = charged_off - month_number(pl.col("DisbursementDate"))
    months = pl.when(since_disbursement >= 0).then(since_disbursement).cast(pl.Float64)
    term = pl.col("Term").cast(pl.Float64)
    total = term + months
    contract = pl.max_horizontal(((total - 1) / 12).floor() * 12, pl.lit(12.0))
    contract = pl.when(total.is_not_null()).then(contract)
    elapsed = contract - term
    cap = pl.when(pl.col("DisbursementGross") > 0).then(
        pl.min_horizontal(pl.col("GrAppv") / pl.col("DisbursementGross"), pl.lit(1.0))
    )
    cap = pl.when(pl.col("GrAppv").is_not_null()).then(cap)
    scheduled = _scheduled_balance(elapsed, contract)
    return typed.with_columns(
        months_since_approval=(charged_off - month_number(pl.col("ApprovalDate"))).cast(pl.Float64),
        approval_year=pl.col("ApprovalDate").dt.year().cast(pl.Float64),
        total_term_months=total,
        contract_term_months=contract,
        months_past_contract_year=total - contract,
        contract_elapsed_months=elapsed,
        contract_elapsed=elapsed / contract,
        months_to_total_term=pl.when(total > 0).then(months / total),
        scheduled_balance=scheduled,
        scheduled_balance_total_term=pl.when(total > 0).then(_scheduled_balance(months, total)),
        approved_cap=cap,
        scheduled_loss_cap=scheduled * cap,
    )
