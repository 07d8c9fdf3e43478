import gzip
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from features.errors import SourceError
from features.sources import sba_7a

HEADER = (
    "LoanNr_ChkDgt,Name,City,State,Zip,Bank,BankState,NAICS,ApprovalDate,ApprovalFY,Term,NoEmp,"
    "NewExist,CreateJob,RetainedJob,FranchiseCode,UrbanRural,RevLineCr,LowDoc,ChgOffDate,"
    "DisbursementDate,DisbursementGross,BalanceGross,MIS_Status,ChgOffPrinGr,GrAppv,SBA_Appv"
)
PUBLISHED = f"""{HEADER}
1000014003,ABC HOBBYCRAFT,EVANSVILLE,IN,47711,FIFTH THIRD BANK,OH,451120,28-Feb-97,1997,84,4,2,0,0,1,0,N,Y,,28-Feb-99,"$60,000.00 ",$0.00 ,P I F,$0.00 ,"$60,000.00 ","$48,000.00 "
1000024006,"LANDMARK, INC",NEW PARIS,IN,46526,1ST SOURCE BANK,IN,722410,7-Jul-71,1971,60,2,2,0,0,1,1,0,S,24-Jun-91,31-Jul-71,"$40,000.00 ",$0.00 ,CHGOFF,"$10,000.00 ","$50,000.00 ","$32,000.00 "
1000034009,SOMEONE,X,CA,90010,B,CA,0,2-Jan-05,1976A,0,9,0,3,4,68020,2,T,N,30-Mar-11,,"$100,000.00 ",$0.00 ,CHGOFF,"$120,000.00 ","$0.00 ",$0.00
1000044001,N,X,ZZZ,1,B,CA,44-45,2-Jan-05,2005,120,9,1,3,4,0,0,Y,N,30-Mar-11,30-Apr-12,"$80,000.00 ",$0.00 ,CHGOFF,oops,"$80,000.00 ","$40,000.00 "
1000054004,N,X,CA,1,B,CA,0,2-Jan-05,2005,120,9,1,3,4,0,0,Y,N,,30-Apr-06,"$80,000.00 ",$0.00 ,CHGOFF,$1.00 ,"$80,000.00 ","$40,000.00 "
1000064007,N,X,CA,1,B,CA,0,2-Jan-05,2005,120,9,1,3,4,0,0,Y,N,,30-Apr-06,"$80,000.00 ",$0.00 ,,$1.00 ,"$80,000.00 ","$40,000.00 "
"""  # noqa: E501


def written(folder: Path, text: str, name: str = "SBAnational.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["SBAnational.csv", "SBAnational.csv.gz"])
def test_a_file_as_published(tmp_path: Path, name: str) -> None:
    result = sba_7a.read(written(tmp_path, PUBLISHED, name))
    assert dict(result.account.rows()) == {
        "read": 6,
        "no MIS_Status": 1,
        "not charged off: P I F": 1,
        "kept": 4,
    }
    undated = result.tape.filter(pl.col("snapshot_date").is_null())
    assert undated["package_id"].to_list() == ["SBA-undated"]
    tape = result.tape.filter(pl.col("snapshot_date").is_not_null())
    assert tape["loan_id"].to_list() == ["1000024006", "1000034009", "1000044001"]
    assert tape["snapshot_date"].to_list() == [date(1991, 6, 24)] + [date(2011, 3, 30)] * 2
    # The second has no disbursement date, the third one after its charge-off.
    assert tape["origination_date"].to_list() == [date(1971, 7, 31)] + [date(2005, 1, 2)] * 2
    assert tape["original_amount"].to_list() == [40_000.0, 100_000.0, 80_000.0]
    assert tape["guaranteed_pct"].to_list() == [0.64, None, 0.5]
    assert tape["industry_code"].to_list() == ["722410", None, None]
    assert tape["term_months"].to_list() == [60, None, 120]
    assert tape["borrower_adcode"].to_list() == ["US-IN", "US-CA", None]
    assert tape["revolving_credit_line"].to_list() == [None, None, True]
    assert tape["low_doc"].to_list() == [None, False, False]
    assert tape["new_business"].to_list() == [True, None, False]
    assert tape["franchise"].to_list() == [False, True, False]
    assert tape["urban_rural"].to_list() == ["urban", "rural", None]
    dated = result.ledger.filter(pl.col("loan_id") != undated["loan_id"][0])
    net = dated.select(pl.col("gross_amount") - pl.col("cost_amount")).to_series()
    assert dated["loan_id"].to_list() == ["1000024006", "1000034009"]
    assert net.to_list() == [30_000.0, -20_000.0]
    assert result.ledger["gross_amount"].min() == 0
    assert result.faults.select("row", "field", "value").rows() == [
        (4, "ChgOffPrinGr", "oops"),
        (4, "State", "ZZZ"),
        (4, "DisbursementDate", "2012-04-30"),
    ]
    assert result.meta.observed_until_date == date(2011, 3, 30)


def test_no_name_town_or_zip_is_carried(tmp_path: Path) -> None:
    result = sba_7a.read(written(tmp_path, PUBLISHED))
    assert not {"Name", "City", "Zip"} & set(result.tape.columns)
    assert (
        not result.tape.select(pl.any_horizontal(pl.col(pl.String).str.contains("LANDMARK")))
        .to_series()
        .any()
    )


def test_dates_that_a_reader_put_a_century_late_are_put_right(tmp_path: Path) -> None:
    text = PUBLISHED.replace("7-Jul-71", "2071-07-07").replace("31-Jul-71", "2071-07-31")
    result = sba_7a.read(written(tmp_path, text))
    assert result.tape["origination_date"][0] == date(1971, 7, 31)
    assert result.tape.equals(sba_7a.read(written(tmp_path, PUBLISHED)).tape)


def test_without_outcomes_the_tape_stands_and_the_ledger_is_empty(tmp_path: Path) -> None:
    before = sba_7a.read(written(tmp_path, PUBLISHED))
    scored = sba_7a.read(written(tmp_path, PUBLISHED.replace("ChgOffPrinGr", "withheld")))
    assert scored.tape.equals(before.tape)
    assert scored.ledger.is_empty()
    assert any("no outcome is known" in note for note in scored.meta.notes)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    text = PUBLISHED.replace("DisbursementGross", "Gross").replace("ChgOffDate", "ChargeOffDate")
    with pytest.raises(
        SourceError, match=r"ChgOffDate \(nearest: ChargeOffDate\); DisbursementGross"
    ):
        sba_7a.read(written(tmp_path, text))


def test_many_late_disbursements_in_a_file_of_many_chunks(tmp_path: Path) -> None:
    """Polars 2.1 panics in `pl.format` on an empty chunk beside one of several rows."""
    header, _, first = PUBLISHED.splitlines()[:3]
    rows = []
    for number in range(3_000):
        day = "30-Mar-15" if number in (2_000, 2_001, 2_950) else "31-Jul-71"
        row = first.replace("1000024006", str(2_000_000_000 + number), 1)
        rows.append(row.replace("31-Jul-71", day))
    result = sba_7a.read(written(tmp_path, "\n".join([header, *rows, ""])))
    late = result.faults.filter(pl.col("field") == "DisbursementDate")
    assert late["row"].to_list() == [2_001, 2_002, 2_951]
