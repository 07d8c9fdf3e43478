from datetime import date
from pathlib import Path

import polars as pl
import pytest

from features.errors import SourceError
from features.sources import us_mortgage

HEADER = (
    "id,time,orig_time,first_time,mat_time,res_time,balance_time,LTV_time,interest_rate_time,"
    "rate_time,hpi_time,gdp_time,uer_time,REtype_CO_orig_time,REtype_PU_orig_time,"
    "REtype_SF_orig_time,investor_orig_time,balance_orig_time,FICO_orig_time,LTV_orig_time,"
    "Interest_Rate_orig_time,state_orig_time,hpi_orig_time,default_time,payoff_time,status_time,"
    "lgd_time,recovery_res"
)
PANEL = f"""{HEADER}
4,39,20,25,140,,90000,70,6,4.5,158.16,-0.2,10,0,0,1,0,100000,700,80,6,KY,199.21,0,0,0,,
9,42,21,40,141,,100000,80,7,4.5,150,1.5,9.6,1,0,0,1,110000,650,90,0,CA,208.86,0,0,0,,
9,43,21,40,141,50,99000,90,8,4.5,140,1.6,9.4,1,0,0,1,110000,650,90,0,CA,208.86,1,0,1,1.25,-24750
7,41,21,40,141,,5000,60,6.5,4.5,161.06,2.6,9.9,0,0,1,0,5100,700,75,6.5,,208.86,1,0,1,0.4,3000
7,40,21,40,141,,5050,60,6.5,4.5,156.21,1.5,9.8,0,0,1,0,5100,700,75,6.5,,208.86,0,0,0,,
7,44,21,40,141,,4000,60,9,4.5,130,1.5,9.8,0,0,1,0,5100,700,75,6.5,,208.86,1,0,1,0.9,3000
8,41,25,40,145,41,20000,,6.5,4.5,161.06,2.6,9.9,0,0,0,0,0,0,75,6.5,NV,226.29,1,0,1,0,20100
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "dcr.csv"
    path.write_text(text)
    return path


def test_a_panel_as_published(tmp_path: Path) -> None:
    result = us_mortgage.read(written(tmp_path, PANEL))
    assert dict(result.account.rows()) == {
        "read": 7,
        "period of a loan that did not default": 1,
        "other period of a loan that defaulted": 3,
        "kept": 3,
    }
    tape = result.tape
    # The order of the default rows in the file, and the first default of each loan.
    assert tape["loan_id"].to_list() == ["9", "7", "8"]
    assert tape["snapshot_date"].to_list() == [date(2010, 12, 31)] + [date(2010, 6, 30)] * 2
    assert tape["principal_outstanding"].to_list() == [99_000.0, 5_000.0, 20_000.0]
    assert tape["original_amount"].to_list() == [110_000.0, 5_100.0, 20_000.0]
    assert tape["appraised_value"].to_list() == pytest.approx([110_000.0, 5000 / 0.6, None])
    assert tape["origination_date"][0] == date(2005, 6, 30)
    assert tape["maturity_date"][0] == date(2035, 6, 30)
    assert tape["interest_rate_at_origination"].to_list() == [None, 6.5, 6.5]
    assert tape["credit_score"].to_list() == [650.0, 700.0, None]
    assert tape["borrower_adcode"].to_list() == ["US-CA", None, "US-NV"]
    assert tape["occupancy"].to_list() == ["rented", "owner", "owner"]
    assert tape["property_type"].to_list() == ["condominium", "single_family", "other"]
    assert tape["periods_observed"].to_list() == [2.0, 2.0, 1.0]
    assert tape["balance_change_observed"].to_list() == pytest.approx([-0.01, -5 / 505, 0])
    assert tape["interest_rate_change"].to_list() == [1.0, 0.0, 0.0]
    # Period 39 is known from another loan; four periods before 41 is not in the file.
    assert tape["hpi_change_1_year"].to_list() == pytest.approx([140 / 158.16 - 1, None, None])
    assert tape["disposal_status"].to_list() == ["settled", "open", "paid"]
    # Period 50 ends in September 2012; a resolution within the quarter of default falls just after.
    assert tape["closed_date"].to_list() == [date(2012, 9, 30), None, date(2010, 7, 31)]
    ledger = result.ledger
    assert ledger["loan_id"].to_list() == ["9", "8"]
    assert ledger["period"].to_list() == [date(2012, 9, 1), date(2010, 7, 1)]
    assert ledger["gross_amount"].to_list() == [0.0, 20_000.0]
    assert ledger["cost_amount"].to_list() == [24_750.0, 0.0]
    assert result.meta.observed_until_date == date(2012, 9, 30)


def test_rows_after_the_default_change_nothing(tmp_path: Path) -> None:
    before = us_mortgage.read(written(tmp_path, PANEL))
    kept = [row for row in PANEL.splitlines() if not row.startswith("7,44")]
    after = us_mortgage.read(written(tmp_path, "\n".join(kept)))
    assert after.tape.equals(before.tape)


@pytest.mark.parametrize("withheld", [("res_time", "lgd_time", "recovery_res"), ("res_time",)])
def test_without_outcomes_the_tape_stands_and_the_ledger_is_empty(
    tmp_path: Path, withheld: tuple[str, ...]
) -> None:
    before = us_mortgage.read(written(tmp_path, PANEL))
    text = PANEL
    for name in withheld:
        text = text.replace(f",{name}", f",x_{name}")
    scored = us_mortgage.read(written(tmp_path, text))
    known = [c for c in before.tape.columns if c not in ("disposal_status", "closed_date")]
    assert scored.tape.select(known).equals(before.tape.select(known))
    assert scored.ledger.is_empty()
    assert any("No resolution is known" in note for note in scored.meta.notes)


def test_recovery_res_stands_in_for_an_absent_lgd(tmp_path: Path) -> None:
    result = us_mortgage.read(written(tmp_path, PANEL.replace(",lgd_time", ",x")))
    net = result.ledger.select(pl.col("gross_amount") - pl.col("cost_amount")).to_series()
    assert net.to_list() == [-24_750.0, 20_100.0]


def test_defaults_alone_are_read(tmp_path: Path) -> None:
    rows = PANEL.splitlines()
    result = us_mortgage.read(written(tmp_path, "\n".join([rows[0], rows[3]])))
    assert result.tape["loan_id"].to_list() == ["9"]
    assert result.tape["hpi_change_1_year"].to_list() == [None]


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"default_time; balance_time \(nearest: balance"):
        us_mortgage.read(
            written(tmp_path, "id,time,orig_time,balance,balance_orig_time\n1,1,1,1,1\n")
        )
