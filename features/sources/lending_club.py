"""LendingClub's loan statistics: charged-off US consumer loans, with what was recovered afterwards.

Exposure is the principal not repaid, `funded_amnt - total_rec_prncp`; the outcome is `recoveries`
less `collection_recovery_fee`, undated. `total_rec_prncp` stops at the charge-off: the publisher's
`total_pymnt` is the sum of principal, interest, late fees and recoveries to the cent.

The cut-off is a proxy. The files give no charge-off date, and `last_pymnt_d` is no substitute: it
moves with payments made after the charge-off, so that loans which recovered more would look
younger. The date is built from what the borrower did before instead: the principal repaid
stands for a number of instalments on the annuity schedule; the next instalment is the first one
missed; default is three months later (90 days past due) and the charge-off two months after that,
at the end of the month (LendingClub charges off at 120 to 150 days past due).

Columns known only after the event (total_pymnt*, total_rec_int, total_rec_late_fee, recoveries,
collection_recovery_fee, last_pymnt_*, last_credit_pull_d, settlement_*, debt_settlement_*,
hardship_*) reach no column of the tape. Free text and member numbers are never read.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl

from features.portfolio import PortfolioMeta
from features.sources import parsing
from features.sources.lending_club_columns import (
    OBSERVATION_DATES,
    OUTCOMES,
    REQUIRED,
    raw_fields,
)
from features.sources.lending_club_cut_off import (
    MONTHS_TO_CHARGE_OFF,
    MONTHS_TO_DEFAULT,
    with_cut_off,
)
from features.sources.lending_club_fields import DECLARED, LATER_BUREAU
from features.sources.parsing import text
from features.sources.raw import ROW, RawFile, collect, open_raw
from features.sources.reading import read_fields
from features.sources.result import SourceResult, account_of, conform_tape, ledger_of, no_ledger

NOTICE: Final = "blank line, notice or footer of the publisher"
# All of them always, null where a year's file lacks them: what a model of a later file asks for, an
# earlier tape has as missing.
EXTRA_FIELDS: Final = (*DECLARED, *LATER_BUREAU)
# Months after charge-off from which recoveries to date are taken for ultimate. An assumption: the
# file dates no recovery, and of the loans issued to 2010 all are older.
MONTHS_TO_OUTCOME: Final = 18


def read(path: Path) -> SourceResult:
    """Turn a LendingClub file into a portfolio of its charged-off loans.

    Parameters
    ----------
    path : pathlib.Path
        CSV as published (with the notice above the header and the totals below), gzip CSV or
        parquet; columns in any order, rates as "10.65%", 10.65 or 0.1065.

    Raises
    ------
    SourceError
        When the file cannot be read or lacks a necessary column.
    """
    raw = open_raw(path, (*REQUIRED, *OUTCOMES, "id", "grade", "addr_state"))
    optional = [
        field.source
        for field in raw_fields(rates_are_fractions=False)
        if field.source not in REQUIRED
    ]
    columns = raw.select(REQUIRED, (*optional, *OBSERVATION_DATES))
    survey = _survey(raw, columns)
    charged_off = survey.filter("charged_off")["loan_status"].unique().cast(pl.String)
    rows = collect(
        columns.filter(pl.col("loan_status").cast(pl.String).is_in(charged_off.implode())), path
    )
    fractions = parsing.bare_numbers_are_fractions(rows["int_rate"])
    fields = raw_fields(rates_are_fractions=fractions)
    typed, faults = read_fields(rows, fields, path.name)
    typed = typed.with_columns(
        rows.select(
            text("loan_status").str.to_lowercase().str.contains("credit policy").alias("policy")
        ).to_series()
    )
    loans = with_cut_off(_loan_terms(typed))
    observed_until = _observed_until(survey, loans)
    ledger = _ledger(loans, observed_until)
    return SourceResult(
        meta=PortfolioMeta(
            name=f"LendingClub charged-off loans ({path.name})",
            source_system="lending_club",
            currency="USD",
            observed_until_date=observed_until,
            recovery_basis="principal",
            recovery_timing="none",
            extra_fields=EXTRA_FIELDS,
            notes=_notes(loans, ledger, rows.columns, observed_until),
        ),
        tape=conform_tape(loans, EXTRA_FIELDS),
        ledger=ledger,
        account=_account(survey, loans.height),
        faults=faults,
    )


def _survey(raw: RawFile, columns: pl.LazyFrame) -> pl.DataFrame:
    """Count the rows by status and observation dates: one passage over the file.

    Values are counted as written and read afterwards, few that they are.
    """
    present = columns.collect_schema().names()
    keys = ["loan_status", *(name for name in OBSERVATION_DATES if name in present)]
    unfunded = pl.col("funded_amnt").cast(pl.String).fill_null("").str.strip_chars() == ""
    counts = collect(columns.group_by(*keys, unfunded.alias("unfunded")).len(), raw.path)
    status = text("loan_status")
    return counts.with_columns(
        charged_off=status.str.to_lowercase().str.ends_with("charged off").fill_null(False),
        step=pl.when(status.is_null() & pl.col("unfunded"))
        .then(pl.lit(NOTICE))
        .when(status.is_null())
        .then(pl.lit("no loan_status"))
        .otherwise(pl.format("not charged off: {}", status)),
    )


def _account(survey: pl.DataFrame, kept: int) -> pl.DataFrame:
    steps = survey.filter(~pl.col("charged_off")).group_by("step").agg(pl.col("len").sum())
    left_out = dict(steps.sort("len", "step", descending=[True, False]).iter_rows())
    return account_of(int(survey["len"].sum()), left_out, kept)


def _ratio(part: pl.Expr, whole: pl.Expr) -> pl.Expr:
    return pl.when(whole > 0).then(part / whole)


def _loan_terms(typed: pl.DataFrame) -> pl.DataFrame:
    joint = pl.col("application_type").str.to_lowercase().str.contains("joint")
    income = pl.when(joint).then(pl.col("annual_inc_joint")).fill_null(pl.col("annual_inc"))
    dti = pl.when(joint).then(pl.col("dti_joint")).fill_null(pl.col("dti"))
    fico = pl.mean_horizontal("fico_range_low", "fico_range_high")
    history = (
        pl.col("issue_d").dt.year().cast(pl.Float64) * 12
        + pl.col("issue_d").dt.month()
        - pl.col("earliest_cr_line").dt.year() * 12
        - pl.col("earliest_cr_line").dt.month()
    )
    return typed.with_columns(
        loan_id=pl.coalesce("id", pl.format("row-{}", pl.col(ROW).cast(pl.String).str.zfill(7))),
        source_system=pl.lit("lending_club"),
        borrower_type=pl.lit("individual"),
        asset_class=pl.lit("consumer"),
        guarantee_type=pl.lit("credit"),
        currency=pl.lit("USD"),
        written_off=pl.lit(True),
        origination_date=pl.col("issue_d"),
        original_amount=pl.col("funded_amnt"),
        principal_outstanding=(pl.col("funded_amnt") - pl.col("total_rec_prncp")).round(2),
        interest_rate=pl.col("int_rate"),
        term_months=pl.col("term"),
        annual_income=pl.when(income > 0).then(income),
        # 999 and above stand for no income, -1 for none stated.
        dti=pl.when(dti.is_between(0, 998)).then((dti / 100).round(9)),
        credit_score=pl.when(fico.is_between(300, 850)).then(fico),
        borrower_adcode=pl.col("addr_state"),
        employment_length=pl.col("emp_length"),
        outside_credit_policy=pl.col("policy"),
        joint_application=joint,
        installment_to_income=_ratio(pl.col("installment") * 12, income),
        revolving_to_income=_ratio(pl.col("revol_bal"), income),
        funded_to_requested=_ratio(pl.col("funded_amnt"), pl.col("loan_amnt")),
        investor_funded_share=_ratio(pl.col("funded_amnt_inv"), pl.col("funded_amnt")),
        credit_history_months=pl.when(history >= 0).then(history),
        # Early releases write 0 for "never": 0 months ago contradicts no event on record.
        mths_since_last_delinq=_unless_never("mths_since_last_delinq", "delinq_2yrs"),
        mths_since_last_record=_unless_never("mths_since_last_record", "pub_rec"),
    ).with_columns(borrower_id=pl.col("loan_id"))


def _unless_never(months: str, events: str) -> pl.Expr:
    never = (pl.col(months) == 0) & (pl.col(events) == 0)
    return pl.when(never.fill_null(False)).then(None).otherwise(pl.col(months))


def _observed_until(survey: pl.DataFrame, loans: pl.DataFrame) -> date:
    """Last day of the month in which the file was drawn, never before its newest cut-off."""
    newest = [loans["snapshot_date"].max(), loans["origination_date"].max()]
    for name in OBSERVATION_DATES:
        if name in survey.columns:
            written = survey.select(name).unique()
            newest.append(written.select(parsing.date(text(name)).max()).item())
    known = [day for day in newest if isinstance(day, date)]
    if not known:
        # A file without a single charged-off loan still has a description.
        return date(1970, 1, 31)
    last = pl.select(pl.lit(max(known)).dt.month_end()).item()
    assert isinstance(last, date)
    return last


def _young(observed_until: date) -> pl.Expr:
    """Charged off so lately that what has come in is not what will have."""
    return pl.col("snapshot_date") > pl.lit(observed_until).dt.offset_by(f"-{MONTHS_TO_OUTCOME}mo")


def _ledger(loans: pl.DataFrame, observed_until: date) -> pl.DataFrame:
    known = loans.filter(pl.col("recoveries").is_not_null(), ~_young(observed_until))
    if known.is_empty():
        return no_ledger()
    return ledger_of(
        known.select(
            "loan_id",
            pl.lit(None, dtype=pl.Date).alias("period"),
            pl.col("recoveries").alias("gross_amount"),
            pl.col("collection_recovery_fee").fill_null(0.0).alias("cost_amount"),
            pl.lit(datetime(observed_until.year, observed_until.month, observed_until.day)).alias(
                "recorded_at"
            ),
        )
    )


def _notes(
    loans: pl.DataFrame, ledger: pl.DataFrame, columns: list[str], observed_until: date
) -> tuple[str, ...]:
    notes = [
        "The cut-off is a proxy: the first instalment that the repaid principal does not cover,"
        f" plus {MONTHS_TO_CHARGE_OFF} months, at month-end. Default is put"
        f" {MONTHS_TO_DEFAULT} months after the first missed instalment.",
        "Recoveries are ultimate to the date of the file and undated.",
    ]
    unnamed = int(loans["id"].is_null().sum())
    if unnamed:
        notes.append(
            f"{unnamed} of {loans.height} loans have no id: loan_id is 'row-' and the data row of"
            " the file."
        )
    young = loans.filter(_young(observed_until)).height
    if young:
        notes.append(
            f"{young} loans were charged off within {MONTHS_TO_OUTCOME} months of {observed_until}:"
            " more may be recovered on them, and their outcome counts as unknown."
        )
    if ledger.is_empty():
        notes.append(
            "The file holds no recoveries: no outcome is known and the ledger is empty; the tape"
            " can be scored, not trained on or compared."
        )
    elif ledger.height < loans.height:
        notes.append(f"{loans.height - ledger.height} loans have no recoveries: outcome unknown.")
    if not ledger.is_empty() and "collection_recovery_fee" not in columns:
        notes.append("No collection_recovery_fee in the file: recoveries are before costs.")
    return tuple(notes)
