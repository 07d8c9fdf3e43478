from datetime import date
from pathlib import Path

import polars as pl
import pytest

from features.errors import SourceError
from features.portfolio import write_portfolio
from features.sources import lending_club

HEADER = (
    "id,member_id,loan_amnt,funded_amnt,funded_amnt_inv,term,int_rate,installment,grade,sub_grade,"
    "emp_title,emp_length,home_ownership,annual_inc,verification_status,issue_d,loan_status,desc,"
    "purpose,addr_state,dti,delinq_2yrs,earliest_cr_line,fico_range_low,fico_range_high,"
    "mths_since_last_delinq,pub_rec,mths_since_last_record,revol_bal,revol_util,total_rec_prncp,"
    "recoveries,collection_recovery_fee,last_pymnt_d,last_credit_pull_d,application_type,bc_util"
)


def line(status: str, prncp: str, **changed: str) -> str:
    values = dict(zip(HEADER.split(","), [
        "", "1311748", "12000", "10000", "9000", " 36 months", " 12.00%", "332.14", "B", "B2",
        '"Ryder, Inc"', "10+ years", "RENT", "60000", "Verified", "Dec-2011", status,
        '"a\nb ""c"""', "car", "CA", "27.65", "0", "Jan-1985", "735", "739", "0", "1", "0",
        "13648", "83.7%", prncp, "123.11", "1.11", "Apr-2013", "Sep-2016", "INDIVIDUAL", "",
    ], strict=True))  # fmt: skip
    return ",".join((values | changed).values())


# Twelve instalments of a 36-month loan of 10,000 at 1% a month, by recursion and not by formula.
def principal_after(instalments: int) -> float:
    balance, payment = 10_000.0, 10_000 * 0.01 / (1 - 1.01**-36)
    for _ in range(instalments):
        balance -= payment - balance * 0.01
    return round(10_000 - balance, 2)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    paid = f"{principal_after(12)}"
    path = tmp_path / "LoanStats3a.csv"
    path.write_text(
        "Notes offered by Prospectus (https://www.lendingclub.com/info/prospectus.action)\n"
        f"{HEADER}\n"
        + "\n".join([
            line("Charged Off", paid, id="1077501"),
            line("Fully Paid", "10000", last_credit_pull_d="Oct-2016"),
            line("Charged Off", "0", recoveries="0", earliest_cr_line="Foo-1985"),
            "",
            "Loans that do not meet the credit policy" + "," * 36,
            line("Does not meet the credit policy.  Status:Charged Off", paid, delinq_2yrs="1"),
            line("Current", "100"),
            line("Current", "100"),
            "Total amount funded in policy code 1: 460296150",
            "",
        ]),
        encoding="utf-8",
    )  # fmt: skip
    return path


def test_a_file_as_published(published: Path, tmp_path: Path) -> None:
    result = lending_club.read(published)
    assert dict(result.account.rows()) == {
        "read": 9,
        lending_club.NOTICE: 3,
        "not charged off: Current": 2,
        "not charged off: Fully Paid": 1,
        "kept": 3,
    }
    tape = result.tape
    assert tape["loan_id"].to_list() == ["1077501", "row-0000003", "row-0000006"]
    assert tape["first_overdue_date"].to_list() == [
        date(2013, 1, 1),
        date(2012, 1, 1),
        date(2013, 1, 1),
    ]
    assert tape["snapshot_date"].to_list() == [
        date(2013, 6, 30),
        date(2012, 6, 30),
        date(2013, 6, 30),
    ]
    assert tape["default_date"][0] == date(2013, 4, 1)
    assert tape["instalments_paid"].to_list() == [12.0, 0.0, 12.0]
    assert tape["principal_outstanding"].to_list() == pytest.approx(
        [10_000 - principal_after(12), 10_000, 10_000 - principal_after(12)], abs=0.011
    )
    first = tape.row(0, named=True)
    assert (first["interest_rate"], first["term_months"], first["dti"]) == (12.0, 36, 0.2765)
    assert (first["credit_score"], first["revol_util"]) == (737.0, 83.7)
    assert (first["borrower_adcode"], first["credit_history_months"]) == ("US-CA", 323.0)
    assert tape["outside_credit_policy"].to_list() == [False, False, True]
    # 0 months since a delinquency is "never" where none is on record, and real where one is.
    assert tape["mths_since_last_delinq"].to_list() == [None, None, 0.0]
    assert tape["mths_since_last_record"].to_list() == [0.0, 0.0, 0.0]
    assert result.faults.select("row", "field", "value").rows() == [
        (3, "earliest_cr_line", "Foo-1985")
    ]
    assert result.meta.observed_until_date == date(2016, 10, 31)
    assert result.ledger["gross_amount"].to_list() == [123.11, 0.0, 123.11]
    assert result.ledger["cost_amount"].to_list() == [1.11, 1.11, 1.11]
    assert result.ledger["period"].null_count() == 3
    assert not {"member_id", "emp_title", "desc"} & set(tape.columns)
    # What only later files fill is on every tape, so that a later model can score an early loan.
    assert tape["bc_util"].null_count() == tape.height
    write_portfolio(tmp_path / "portfolio", result.meta, tape, result.ledger)


def test_ways_of_writing_do_not_matter(published: Path, tmp_path: Path) -> None:
    expected = lending_club.read(published).tape.drop("loan_id", "borrower_id")
    other = tmp_path / "typed.parquet"
    frame = pl.read_csv(published, skip_rows=1, infer_schema=False, truncate_ragged_lines=True)
    frame.drop_nulls("loan_status").with_columns(
        pl.lit(0.12).alias("int_rate"),
        pl.lit(0.837).alias("revol_util"),
        pl.lit(36.0).alias("term"),
        pl.lit(date(2011, 12, 1)).alias("issue_d"),
        pl.col("funded_amnt").cast(pl.Int64),
        pl.col("grade").cast(pl.Categorical),
    ).rename({"int_rate": "Int Rate "}).select(
        pl.nth(range(len(frame.columns) - 1, -1, -1))
    ).write_parquet(other)
    actual = lending_club.read(other).tape.drop("loan_id", "borrower_id")
    assert actual.equals(expected)


def test_what_is_known_later_moves_no_column_of_the_tape(published: Path, tmp_path: Path) -> None:
    before = lending_club.read(published)
    changed = published.read_text().replace(
        "123.11,1.11,Apr-2013,Sep-2016", "9999,55,Jan-2016,Oct-2016"
    )
    moved = lending_club.read(_written(tmp_path, changed))
    assert moved.tape.equals(before.tape)
    assert not moved.ledger.equals(before.ledger)


def test_without_outcomes_the_tape_stands_and_the_ledger_is_empty(
    published: Path, tmp_path: Path
) -> None:
    before = lending_club.read(published)
    for text in (
        published.read_text()
        .replace(",recoveries,", ",x,")
        .replace("collection_recovery_fee", "y"),
        published.read_text().replace("123.11,1.11,", ",,").replace(",0,1.11,", ",,,"),
    ):
        scored = lending_club.read(_written(tmp_path, text))
        assert scored.tape.equals(before.tape)
        assert scored.ledger.is_empty()
        assert any("no outcome is known" in note for note in scored.meta.notes)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    path = _written(tmp_path, "id,loan_status,funded_amount,term,int_rate,issue_d\n")
    with pytest.raises(SourceError, match=r"funded_amnt \(nearest: funded_amount.*total_rec_prncp"):
        lending_club.read(path)


def test_no_charged_off_loan_is_no_error(tmp_path: Path) -> None:
    result = lending_club.read(_written(tmp_path, f"{HEADER}\n{line('Current', '1')}\n"))
    assert (result.tape.height, result.ledger.height) == (0, 0)
    assert result.account["rows"].to_list() == [1, 1, 0]


def test_joint_applications_are_measured_on_both_incomes(tmp_path: Path) -> None:
    extra = f"{HEADER},annual_inc_joint,dti_joint\n"
    body = line("Charged Off", "0", dti="999", application_type="Joint App") + ",120000,12.5\n"
    alone = line("Charged Off", "0", dti="999") + ",,\n"
    tape = lending_club.read(_written(tmp_path, extra + body + alone)).tape
    assert tape["annual_income"].to_list() == [120000.0, 60000.0]
    assert tape["dti"].to_list() == [0.125, None]


def _written(folder: Path, text: str) -> Path:
    path = folder / "other.csv"
    path.write_text(text)
    return path
