"""US Small Business Administration 7(a) loans that were charged off (columns of SBAnational).

The file has no balance at default and no dated cash. What is known is the principal charged off,
so the rate is measured on the amount disbursed: net recovery is `DisbursementGross -
ChgOffPrinGr`. It holds everything repaid before default, so much of what a model explains is
mechanical: the longer a loan ran, the more was repaid. `BalanceGross` is a figure of the
file's date and is not read.

The cut-off is the charge-off date itself, and default is put on the same day, for want of another
date. Borrower names, towns and ZIP codes are never read. Codes outside the publisher's dictionary
(`RevLineCr` of 0 or T, `LowDoc` of S, A, 0 ..., `NewExist` 0, `UrbanRural` 0, `NAICS` 0) mean
unknown and become null.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from features.portfolio import PortfolioMeta
from features.sources import parsing
from features.sources.extra_fields import category_extra, flag_extra, number_extra
from features.sources.parsing import text
from features.sources.raw import ROW, RawFile, collect, open_raw
from features.sources.reading import Field, category_field, date_field, number_field, read_fields
from features.sources.result import (
    SourceResult,
    account_of,
    conform_tape,
    ledger_of,
    no_ledger,
)
from features.sources.sba_7a_terms import TERM_EXTRAS, contract_terms

REQUIRED: Final = (
    "LoanNr_ChkDgt",
    "ChgOffDate",
    "ApprovalDate",
    "DisbursementDate",
    "DisbursementGross",
    "Term",
)
STATUS: Final = "MIS_Status"
OUTCOME: Final = "ChgOffPrinGr"
_OPTIONAL_NUMBERS: Final = (
    "GrAppv",
    "SBA_Appv",
    "NoEmp",
    "NewExist",
    "CreateJob",
    "RetainedJob",
    "FranchiseCode",
    "UrbanRural",
)
_OPTIONAL_TEXTS: Final = ("State", "BankState", "Bank", "NAICS", "RevLineCr", "LowDoc")

EXTRA_FIELDS: Final = (
    number_extra(
        "approved_amount", "Amount approved by the bank", "批准金额", "exposure", "currency"
    ),
    number_extra(
        "disbursed_to_approved",
        "Amount disbursed to amount approved",
        "放款批准比",
        "exposure",
        "ratio",
    ),
    number_extra("employees", "Employees", "员工人数", unit="count"),
    number_extra("jobs_created", "Jobs to be created", "新增就业人数", unit="count"),
    number_extra("jobs_retained", "Jobs retained", "保留就业人数", unit="count"),
    number_extra(
        "approval_to_disbursement_months",
        "Months from approval to disbursement",
        "批准至放款月数",
        "age",
        "months",
    ),
    flag_extra("new_business", "New business (two years or less)", "新设企业"),
    flag_extra("franchise", "Franchise", "特许经营"),
    flag_extra("revolving_credit_line", "Revolving line of credit", "循环授信", "exposure"),
    flag_extra("low_doc", "Granted under the low-documentation programme", "简化文件贷款"),
    flag_extra("same_state_bank", "Bank in the borrower's state", "本州银行", "region"),
    category_extra("urban_rural", "Urban or rural", "城乡", "region"),
    category_extra("bank_state", "State of the bank", "银行所在州", "region"),
    *TERM_EXTRAS,
)


def _fields() -> tuple[Field, ...]:
    return (
        category_field("LoanNr_ChkDgt", parse=parsing.identifier),
        date_field("ChgOffDate"),
        date_field("ApprovalDate"),
        date_field("DisbursementDate"),
        number_field("DisbursementGross"),
        number_field(OUTCOME),
        Field("Term", parsing.months, "must be a number of months", "write it as 84"),
        *(number_field(name) for name in _OPTIONAL_NUMBERS),
        category_field("NAICS", parse=parsing.identifier),
        category_field("State", parse=parsing.us_state),
        category_field("BankState", parse=parsing.us_state),
        *(category_field(name) for name in ("Bank", "RevLineCr", "LowDoc")),
    )


def read(path: Path) -> SourceResult:
    """Turn an SBAnational file into a portfolio of its charged-off loans.

    Parameters
    ----------
    path : pathlib.Path
        CSV, gzip CSV or parquet; dates as "28-Feb-97" or "1997-02-28", money as "$60,000.00 " or
        numbers. Two-digit years up to 49 are of this century: the agency dates from 1953, so no
        year is in doubt.

    Raises
    ------
    SourceError
        When the file cannot be read or lacks a necessary column.
    """
    raw = open_raw(path, (*REQUIRED, STATUS, OUTCOME))
    columns = raw.select(REQUIRED, (STATUS, OUTCOME, *_OPTIONAL_NUMBERS, *_OPTIONAL_TEXTS))
    read_rows, left_out = _steps(raw, columns)
    rows = collect(columns.filter(_step(columns).is_null()), path)
    typed, faults = read_fields(rows, _fields(), path.name)
    loans, mended = _mend_dates(typed, path.name)
    loans = _loan_terms(loans)
    newest = loans["snapshot_date"].max()
    observed_until = newest if isinstance(newest, date) else date(1970, 1, 31)
    ledger = _ledger(loans, observed_until)
    return SourceResult(
        meta=PortfolioMeta(
            name=f"SBA 7(a) charged-off loans ({path.name})",
            source_system="sba_7a",
            currency="USD",
            observed_until_date=observed_until,
            recovery_basis="original_amount",
            recovery_timing="none",
            extra_fields=EXTRA_FIELDS,
            notes=_notes(loans, ledger, rows.columns),
        ),
        tape=conform_tape(loans, EXTRA_FIELDS),
        ledger=ledger,
        account=account_of(read_rows, left_out, loans.height),
        faults=pl.concat([faults, mended]).sort("row", maintain_order=True),
    )


def _step(columns: pl.LazyFrame) -> pl.Expr:
    """Say why a row is left out; null for those to keep."""
    blank = text("LoanNr_ChkDgt").is_null() & text("DisbursementGross").is_null()
    performing = pl.lit(None, dtype=pl.String)
    if STATUS in columns.collect_schema().names():
        status = text(STATUS).str.to_uppercase().str.replace_all(r"[^A-Z]", "")
        performing = (
            pl.when(status.is_null())
            .then(pl.lit("no MIS_Status"))
            .when(status.is_in(["CHGOFF", "CHARGEDOFF"]).not_())
            .then(pl.format("not charged off: {}", text(STATUS)))
        )
    return pl.when(blank).then(pl.lit("blank line")).otherwise(performing)


def _steps(raw: RawFile, columns: pl.LazyFrame) -> tuple[int, dict[str, int]]:
    counts = collect(columns.group_by(_step(columns).alias("step")).len(), raw.path)
    out = counts.drop_nulls("step").sort("len", "step", descending=[True, False])
    return int(counts["len"].sum()), dict(out.rows())


def _mend_dates(typed: pl.DataFrame, file: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Set aside dates that lie after the charge-off; those a century too late are put right.

    A reader that takes "71" for 2071 leaves such dates in files of the second hand. Others, such
    as a disbursement 20 years after the charge-off, are errors of the publisher: they become null
    and are listed as faults.
    """
    charge_off = pl.col("ChgOffDate")
    faults = []
    for name in ("ApprovalDate", "DisbursementDate"):
        earlier = pl.col(name).dt.offset_by("-100y")
        late = (pl.col(name) > charge_off).fill_null(False)
        typed_before = typed
        typed = typed.with_columns(
            pl.when(late & (earlier.dt.year() >= 1953) & (earlier <= charge_off))
            .then(earlier)
            .when(~late)
            .then(pl.col(name))
            .alias(name)
        )
        dropped = typed_before.filter(typed_before[name].is_not_null() & typed[name].is_null())
        faults.append(
            # In one chunk: polars 2.1 panics in `format` on an empty chunk beside a filled one.
            dropped.rechunk().select(
                pl.lit(file).alias("file"),
                pl.col(ROW).cast(pl.Int64).alias("row"),
                pl.lit(name).alias("field"),
                pl.col(name).cast(pl.String).alias("value"),
                pl.lit("after_charge_off").alias("rule"),
                pl.format(
                    "lies after ChgOffDate {}: correct the date; it is taken as unknown", charge_off
                ).alias("mend"),
            )
        )
    return typed, pl.concat(faults)


def _yes_no(name: str) -> pl.Expr:
    code = pl.col(name).str.to_uppercase()
    return pl.when(code == "Y").then(True).when(code == "N").then(False)


def _loan_terms(typed: pl.DataFrame) -> pl.DataFrame:
    share = pl.col("SBA_Appv") / pl.col("GrAppv")
    months = (pl.col("DisbursementDate") - pl.col("ApprovalDate")).dt.total_days() / 30.4375
    naics = pl.col("NAICS").str.strip_chars()
    return contract_terms(typed).with_columns(
        loan_id=pl.col("LoanNr_ChkDgt"),
        borrower_id=pl.col("LoanNr_ChkDgt"),
        # A charged-off loan without its date stays on the tape, for the check to say why it cannot
        # be valued.
        package_id=pl.format(
            "SBA-{}", pl.col("ChgOffDate").dt.year().cast(pl.String).fill_null("undated")
        ),
        originator=pl.col("Bank"),
        snapshot_date=pl.col("ChgOffDate"),
        default_date=pl.col("ChgOffDate"),
        written_off=pl.lit(True),
        source_system=pl.lit("sba_7a"),
        borrower_type=pl.lit("enterprise"),
        asset_class=pl.lit("sme"),
        currency=pl.lit("USD"),
        guarantee_type=pl.lit("guarantee"),
        guaranteed_pct=pl.when(share.is_between(0, 1)).then(share),
        industry_code=pl.when(naics.str.contains(r"^[1-9]\d{1,5}$")).then(naics),
        borrower_adcode=pl.col("State"),
        origination_date=pl.coalesce("DisbursementDate", "ApprovalDate"),
        original_amount=pl.col("DisbursementGross"),
        term_months=pl.when(pl.col("Term").is_between(1, 720)).then(pl.col("Term")),
        approved_amount=pl.col("GrAppv"),
        disbursed_to_approved=pl.when(pl.col("GrAppv") > 0).then(
            pl.col("DisbursementGross") / pl.col("GrAppv")
        ),
        employees=pl.col("NoEmp"),
        jobs_created=pl.col("CreateJob"),
        jobs_retained=pl.col("RetainedJob"),
        approval_to_disbursement_months=pl.when(months >= 0).then(months),
        new_business=pl.when(pl.col("NewExist").is_in([1.0, 2.0])).then(pl.col("NewExist") == 2),
        franchise=~pl.col("FranchiseCode").is_in([0.0, 1.0]),
        revolving_credit_line=_yes_no("RevLineCr"),
        low_doc=_yes_no("LowDoc"),
        same_state_bank=pl.col("BankState") == pl.col("State"),
        bank_state=pl.col("BankState"),
        urban_rural=pl.col("UrbanRural").replace_strict(
            {1.0: "urban", 2.0: "rural"}, default=None, return_dtype=pl.String
        ),
    )


def _ledger(loans: pl.DataFrame, observed_until: date) -> pl.DataFrame:
    known = loans.filter(pl.col(OUTCOME).is_not_null() & pl.col("original_amount").is_not_null())
    if known.is_empty():
        return no_ledger()
    return ledger_of(
        known.select(
            "loan_id",
            pl.lit(None, dtype=pl.Date).alias("period"),
            (pl.col("original_amount") - pl.col(OUTCOME)).alias("gross_amount"),
            pl.lit(0.0).alias("cost_amount"),
            pl.lit(datetime(observed_until.year, observed_until.month, observed_until.day)).alias(
                "recorded_at"
            ),
        )
    )


def _notes(loans: pl.DataFrame, ledger: pl.DataFrame, columns: list[str]) -> tuple[str, ...]:
    notes = [
        "Severity is measured on the amount disbursed, for want of a balance at default: repayment"
        " before default is in the recovery rate, and much of the fit is mechanical (age against"
        " term).",
        "The cut-off is the charge-off date; default is put on the same day, so months since"
        " default are 0 throughout.",
    ]
    if STATUS not in columns:
        notes.append(
            f"No {STATUS} in the file: every loan with a ChgOffDate counts as charged off."
        )
    approval = int(
        (loans["DisbursementDate"].is_null() & loans["ApprovalDate"].is_not_null()).sum()
    )
    if approval:
        notes.append(
            f"{approval} loans have no usable DisbursementDate: origination is the ApprovalDate."
        )
    if ledger.is_empty():
        notes.append(
            f"The file holds no {OUTCOME}: no outcome is known and the ledger is empty; the tape"
            " can be scored, not trained on or compared."
        )
    elif ledger.height < loans.height:
        notes.append(f"{loans.height - ledger.height} loans have no {OUTCOME}: outcome unknown.")
    return tuple(notes)
