"""The check against faults counted by hand, a brute-force count, and any single corrupted cell."""

import csv
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check import check_portfolio, check_tape
from features.errors import PortfolioError
from features.faults import Fault, Faults
from features.ledger import Ledger
from features.ledger_rules import ledger_rules
from features.portfolio import ExtraField, Portfolio, PortfolioMeta
from features.rules import Expected, Rule
from features.tape import Tape, tape_dtypes
from features.tape_rules import tape_rules

LOAN: dict[str, Any] = {
    "loan_id": "L",
    "borrower_id": "B",
    "package_id": "P",
    "snapshot_date": date(2023, 6, 30),
    "source_system": "cn_tape",
    "borrower_type": "individual",
    "birth_year": 1985,
    "annual_income": 120000.0,
    "borrower_adcode": "440100",
    "asset_class": "residential_mortgage",
    "origination_date": date(2018, 5, 1),
    "maturity_date": date(2038, 5, 1),
    "original_amount": 900000.0,
    "interest_rate": 5.0,
    "term_months": 240,
    "currency": "CNY",
    "principal_outstanding": 700000.0,
    "interest_outstanding": 30000.0,
    "guarantee_type": "mortgage",
    "days_past_due": 500,
    "default_date": date(2022, 6, 10),
    "five_category": "loss",
    "written_off": False,
    "collateral_type": "residential",
    "collateral_adcode": "440100",
    "appraised_value": 1000000.0,
    "valuation_date": date(2023, 1, 1),
    "legal_stage": "judged",
}
META = PortfolioMeta(
    name="one mortgage",
    source_system="cn_tape",
    currency="CNY",
    observed_until_date=date(2024, 12, 31),
    recovery_basis="claim",
    recovery_timing="monthly",
)
NO_CASH = pl.LazyFrame(
    schema={
        "loan_id": pl.String,
        "period": pl.Date,
        "gross_amount": pl.Float64,
        "cost_amount": pl.Float64,
        "route": pl.String,
        "recorded_at": pl.Datetime("us"),
    }
)


def loans(number: int, **changed: list[Any]) -> pl.DataFrame:
    """Sound mortgages L0, L1, ... with whole columns changed."""
    columns = {name: [value] * number for name, value in LOAN.items()}
    columns["loan_id"] = [f"L{i}" for i in range(number)]
    dtypes = tape_dtypes()
    sound = {name: pl.Series(values, dtype=dtypes[name]) for name, values in columns.items()}
    return pl.DataFrame(sound | {name: pl.Series(values) for name, values in changed.items()})


def test_counts_every_fault_but_lists_only_the_first() -> None:
    tape = loans(50, principal_outstanding=[-1.0 if i % 2 else 1000.0 for i in range(50)])
    checked = check_tape(tape.lazy(), META, listed_per_rule=3)
    assert checked.faults.counts() == {"bad_amount": 25}
    assert checked.faults.listed["row"].to_list() == [2, 4, 6]
    assert checked.set_aside["row"].to_list() == list(range(2, 51, 2))
    assert checked.tape.collect()["loan_id"].to_list() == [f"L{i}" for i in range(0, 50, 2)]


def test_counts_agree_with_counting_by_hand() -> None:
    amounts = [100.0, -1.0, float("nan"), float("inf"), None, 0.0, 5.0, -7.0]
    birth_years = [1980, 2015, 1900, None, 1985, 1921, 2005, 2006]
    tape = loans(8, interest_outstanding=amounts, birth_year=birth_years)
    expected: Counter[str] = Counter()
    for amount, born in zip(amounts, birth_years, strict=True):
        expected["missing_amount"] += amount is None
        expected["not_finite"] += amount in (float("inf"),) or amount != amount
        expected["bad_amount"] += amount is not None and amount < 0
        expected["out_of_range"] += born is not None and not 1920 <= born <= 2100
        expected["borrower_age"] += born is not None and not 18 <= 2023 - born <= 100
    assert check_tape(tape.lazy(), META).faults.counts() == dict(expected.most_common())


def test_taken_as_missing_is_null_and_nothing_else_changes() -> None:
    tape = loans(3, birth_year=[1985, 2015, 1990], employment_status=["employed", "empoyed", None])
    checked = check_tape(tape.lazy(), META)
    good = checked.tape.collect()
    assert good["birth_year"].to_list() == [1985, None, 1990]
    assert good["employment_status"].to_list() == ["employed", None, None]
    assert good.drop("birth_year", "employment_status").equals(
        tape.drop("birth_year", "employment_status")
    )


def test_good_rows_have_the_types_of_the_schema_whatever_they_came_as() -> None:
    text = loans(2).select(pl.all().cast(pl.String))
    checked = check_tape(text.lazy(), META)
    assert checked.faults.messages() == []
    assert checked.tape.collect().equals(loans(2))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param([20180501, 20180502], [date(2018, 5, 1), date(2018, 5, 2)], id="integers"),
        pytest.param(
            [datetime(2018, 5, 1), datetime(2018, 5, 2)],
            [date(2018, 5, 1), date(2018, 5, 2)],
            id="times",
        ),
        pytest.param(
            ["2018/5/1", "2018年5月2日"], [date(2018, 5, 1), date(2018, 5, 2)], id="texts"
        ),
    ],
)
def test_dates_in_other_types_are_read(column: list[Any], expected: list[date]) -> None:
    checked = check_tape(loans(2, origination_date=column).lazy(), META)
    assert checked.faults.messages() == []
    assert checked.tape.collect()["origination_date"].to_list() == expected


def test_identifiers_as_numbers() -> None:
    checked = check_tape(loans(2, loan_id=[7, 8], borrower_id=[1.0, 2.0]).lazy(), META)
    assert checked.tape.collect()["loan_id"].to_list() == ["7", "8"]
    assert checked.tape.collect()["borrower_id"].to_list() == ["1", "2"]
    assert checked.faults.counts() == {"identifier_as_number": 1}


def test_nested_columns_are_reported_and_not_read() -> None:
    checked = check_tape(loans(2, annual_income=[[1.0], [2.0]]).lazy(), META)
    assert checked.faults.counts() == {"unreadable_value": 2}
    assert checked.tape.collect()["annual_income"].to_list() == [None, None]


def test_without_a_description_the_usual_currency_is_the_right_one() -> None:
    tape = loans(3, currency=["EUR", "USD", "EUR"])
    checked = check_tape(tape.lazy(), Expected())
    assert checked.set_aside["loan_id"].to_list() == ["L1"]


@pytest.mark.parametrize(
    ("basis", "rules"),
    [
        ("claim", ["missing_amount: principal_outstanding; missing_amount: interest_outstanding"]),
        ("principal", ["missing_amount: principal_outstanding"]),
        ("original_amount", []),
    ],
)
def test_what_the_basis_needs(basis: Any, rules: list[str]) -> None:
    tape = loans(1).with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name)
        for name in ("principal_outstanding", "interest_outstanding")
    )
    checked = check_tape(tape.lazy(), Expected(recovery_basis=basis))
    assert checked.set_aside["rules"].to_list() == rules


def test_faults_carry_the_row_numbers_of_the_file() -> None:
    tape = loans(3, original_amount=[1e6, 0.0, 1e6])
    numbers = pl.Series([4, 9, 12])
    checked = check_tape(tape.lazy(), META, "sheet.xlsx", row_numbers=numbers)
    assert checked.faults.listed["row"].to_list() == [9]
    assert checked.set_aside["row"].to_list() == [2]


def test_cash_goes_with_its_loan_and_lost_cash_is_told() -> None:
    tape = loans(3, original_amount=[1e6, 0.0, 1e6])
    cash = pl.DataFrame(
        {
            "loan_id": ["L0", "L1", "L2", "L2"],
            "period": [date(2023, 8, 1)] * 4,
            "gross_amount": [1.0, 2.0, -3.0, 4.0],
            "cost_amount": [0.0] * 4,
            "route": ["collection", "collection", "suit", "auction"],
            "recorded_at": [datetime(2023, 8, 20)] * 4,
        }
    )
    checked = check_portfolio(Portfolio(META, tape.lazy(), cash.lazy()))
    assert checked.portfolio.tape.collect()["loan_id"].to_list() == ["L0", "L2"]
    assert checked.portfolio.ledger.collect()["gross_amount"].to_list() == [1.0, 4.0]
    assert checked.ledger_rows_of_set_aside_loans == 1
    assert checked.incomplete_loans["loan_id"].to_list() == ["L2"]


def test_set_aside_files_hold_the_rows_as_they_were(tmp_path: Path) -> None:
    tape = loans(3, original_amount=[1e6, 0.0, 1e6], five_category=["loss", "bad", "loss"])
    tape = tape.with_columns(customer_name=pl.lit("张三"))
    checked = check_portfolio(Portfolio(META, tape.lazy(), NO_CASH))
    written = checked.write_set_aside(tmp_path)
    assert sorted(path.name for path in written) == ["faults.csv", "tape_set_aside.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in written)
    rows = pl.read_parquet(tmp_path / "tape_set_aside.parquet")
    assert rows["set_aside_row"].to_list() == [2]
    assert rows["set_aside_rules"].to_list() == ["bad_amount: original_amount"]
    assert rows["five_category"].to_list() == ["bad"]
    assert "customer_name" not in rows.columns
    text = (tmp_path / "faults.csv").read_text(encoding="utf-8-sig")
    faults = list(csv.DictReader(text.splitlines()))
    assert [fault["rule"] for fault in faults if fault["row"]] == ["unknown_code", "bad_amount"]
    # A later check without such rows leaves no stale file.
    clean = check_portfolio(Portfolio(META, loans(2).lazy(), NO_CASH))
    assert [path.name for path in clean.write_set_aside(tmp_path)] == ["faults.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["faults.csv"]


def test_a_value_that_a_spreadsheet_would_run_is_written_harmless(tmp_path: Path) -> None:
    tape = loans(1, legal_stage=['=HYPERLINK("http://x")'])
    check_portfolio(Portfolio(META, tape.lazy(), NO_CASH)).write_set_aside(tmp_path)
    assert """'=HYPERLINK""" in (tmp_path / "faults.csv").read_text(encoding="utf-8-sig")


def test_strict_tells_the_errors() -> None:
    checked = check_tape(loans(30, original_amount=[0.0] * 30).lazy(), META)
    with pytest.raises(PortfolioError, match=r"the tape: 30 errors\n.*row 1, original_amount"):
        checked.require_clean()
    with pytest.raises(PortfolioError, match=r"and 10 more$"):
        checked.require_clean()


def test_no_personal_number_is_shown_anywhere() -> None:
    tape = loans(2, legal_stage=["judged", "110101199003071234"], note=["13812345678", "x"])
    faults = check_tape(tape.lazy(), META).faults
    assert faults.counts() == {"unknown_code": 1, "undeclared_column": 1, "personal_data": 1}
    shown = "\n".join(faults.messages())
    assert "199003071234" not in shown
    assert "13812345678" not in shown


def test_a_hashed_identifier_is_no_personal_number() -> None:
    hashed = ["a13812345678f", "c110101199003071234b"]
    assert check_tape(loans(2, loan_id=hashed).lazy(), META).faults.messages() == []


def test_every_rule_names_fields_of_its_table_and_a_mend() -> None:
    extra = ExtraField(name="grade", type="flag", meaning_en="g", meaning_zh="g")
    tape: list[Rule] = tape_rules(Expected(extra_fields=(extra,)), "CNY", Tape.column_names())
    for rules, names in (
        (tape, {*Tape.column_names(), "grade"}),
        (ledger_rules(META), set(Ledger.column_names())),
    ):
        assert {name for rule in rules for name in (rule.field, *rule.needed)} <= names
        assert all(rule.mend for rule in rules)
        assert not [rule for rule in rules if rule.blanks and rule.severity == "error"]


CELLS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.dates(),
    st.datetimes(),
)


@settings(max_examples=80, deadline=None)
@given(column=st.sampled_from(list(LOAN)), cell=CELLS)
def test_any_one_bad_cell_is_a_fault_or_leaves_the_row_usable(column: str, cell: Any) -> None:
    sound = loans(3)
    values = sound[column].to_list()
    try:
        changed = pl.Series(column, [values[0], cell, values[2]], dtype=sound[column].dtype)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        texts = [None if value is None else str(value) for value in (values[0], cell, values[2])]
        changed = pl.Series(column, texts)
    checked = check_tape(sound.with_columns(changed).lazy(), META)
    good = checked.tape.collect()
    assert good.schema == sound.schema
    assert checked.rows == 3
    assert good.height + checked.set_aside.height == 3
    assert {"L0", "L2"} <= set(good["loan_id"]) or column == "loan_id"
    if good.height < 3:
        assert checked.faults.number("error") > 0
        assert 2 in checked.set_aside["row"].to_list()
    elif good[column][1] is None and cell is not None and str(cell).strip():
        # A value that was there is never lost without a word, but for the words for "nothing".
        assert checked.faults.number("warning") > 0 or str(cell).strip().lower() in (
            *("-", "--", "—", "——", "/", "\\", "无", "空", "不详", "未知"),
            *("n/a", "na", "null", "none", "nan", "#n/a"),
        )


def test_renumbered_faults_of_rows_follow_faults_of_the_file() -> None:
    faults = Faults.merged(
        Faults.of([Fault("t.csv", None, "region", None, "absent_column", "add it", "warning")]),
        Faults.of([Fault("t.csv", 2, "ead", "-1", "bad_amount", "give more")]),
    )
    assert faults.renumbered(pl.Series([4, 5])).listed["row"].to_list() == [None, 5]
