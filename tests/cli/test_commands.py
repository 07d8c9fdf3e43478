"""The verbs as a user meets them: what they write, say, and exit with."""

import csv
from pathlib import Path

import polars as pl
import pytest
from openpyxl import load_workbook

from features.ingest import LOCK_FILE
from features.locking import exclusive
from features.portfolio import read_portfolio
from models.mlflow_store import Store
from tests.cli.conftest import Npl

LENDING_CLUB = """\
id,loan_amnt,funded_amnt,term,int_rate,installment,grade,sub_grade,emp_length,home_ownership,\
annual_inc,issue_d,loan_status,purpose,addr_state,dti,total_rec_prncp,recoveries,\
collection_recovery_fee
"""


def _lending_club_rows(loans: int) -> str:
    rows = []
    for number in range(loans):
        repaid = 500 + 90 * (number % 40)
        recovered = (number * 37) % 400
        rows.append(
            f'{1000 + number},10000,10000," 36 months","{8 + number % 9}.65%",325.0,'
            f"{'ABCDE'[number % 5]},{'ABCDE'[number % 5]}{1 + number % 5},3 years,RENT,"
            f'"{30000 + 100 * number}",Dec-{2011 + number % 3},Charged Off,car,'
            f"{['CA', 'NY', 'TX'][number % 3]},{number % 30},{repaid},{recovered},"
            f"{recovered * 0.1:.2f}"
        )
    return LENDING_CLUB + "\n".join(rows) + "\n"


def test_a_publishers_file_goes_all_the_way_to_scores(
    store: Store, npl: Npl, tmp_path: Path
) -> None:
    raw = tmp_path / "LoanStats.csv"
    raw.write_text(_lending_club_rows(400))
    imported = npl("import", "lending_club", raw, "--out", tmp_path / "p", "--json")
    assert imported.code == 0
    assert imported.document["account"][-1] == {"step": "kept", "rows": 400}
    trained = npl("train", tmp_path / "p", "--out", tmp_path / "b", "--json")
    assert trained.code == 0, trained.err
    assert trained.document["registered"]["aliases"] == ["champion"]
    models = [row["model"] for row in trained.document["accuracy"]]
    assert models[0] == "npl-recovery"
    assert {"overall mean", "random forest", "fractional logit"} < set(models)
    out = tmp_path / "scores.csv"
    scored = npl("score", tmp_path / "p", "--model", tmp_path / "b", "--out", out, "--json")
    assert scored.code == 0, scored.err
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    # The source's own identifiers, in the order of the raw file.
    assert [row["loan_id"] for row in rows] == [str(1000 + number) for number in range(400)]
    # Undated outcomes: no horizons are made up.
    assert not [name for name in rows[0] if name.startswith("recovery_rate_")]
    expected = sum(float(row["ead"]) * float(row["recovery_rate"]) for row in rows)
    assert scored.document["expected_recovery_amount"] == pytest.approx(expected, abs=0.01)
    assert scored.document["scored"] == 400


def test_contributions_add_up_in_the_output(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    out = tmp_path / "scores.parquet"
    assert npl("score", portfolio, "--model", bundle, "--out", out, "--explain").code == 0
    scores = pl.read_parquet(out)
    points = scores.select(pl.col("^points_.*$")).to_numpy().sum(axis=1)
    whole = scores["base_rate"].to_numpy() + points
    assert abs(whole - scores["recovery_rate"].to_numpy()).max() < 1e-9
    curve = scores.select(pl.col("^recovery_rate_..m$")).to_numpy()
    assert curve.shape[1] == 6
    assert (curve[:, 1:] >= curve[:, :-1]).all()


def test_one_loan_scores_as_among_all_and_as_a_bare_tape(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    tape = pl.read_parquet(portfolio / "tape.parquet")
    tape.write_parquet(tmp_path / "all.parquet")
    tape[7:8].write_parquet(tmp_path / "one.parquet")
    scores = []
    for name in ("all", "one"):
        out = tmp_path / f"{name}.scores.parquet"
        assert npl("score", tmp_path / f"{name}.parquet", "--model", bundle, "--out", out).code == 0
        scores.append(pl.read_parquet(out))
    assert scores[0][7:8].equals(scores[1])


def test_bad_rows_stay_in_the_output_with_their_reason(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    tape = pl.read_parquet(portfolio / "tape.parquet").head(6)
    bad = tape.with_columns(
        principal_outstanding=pl.Series([1e4, -5.0, 1e4, 1e4, 1e4, 1e4]),
        loan_id=pl.Series(["a", "b", "c", "d", "d", "e"]),
    )
    bad.write_parquet(tmp_path / "bad.parquet")
    out = tmp_path / "scores.parquet"
    ran = npl("score", tmp_path / "bad.parquet", "--model", bundle, "--out", out, "--json")
    assert ran.code == 0, ran.err
    scores = pl.read_parquet(out)
    assert scores["loan_id"].to_list() == ["a", "b", "c", "d", "d", "e"]
    missing = scores["recovery_rate"].is_null().to_list()
    assert missing == [False, True, False, True, True, False]
    assert scores["reason"].is_not_null().to_list() == missing
    assert "principal_outstanding" in scores["reason"][1]
    assert ran.document["not_scored"] == 3
    assert sum(ran.document["unscored_reasons"].values()) == 3
    strict = npl("score", tmp_path / "bad.parquet", "--model", bundle, "--out", out, "--strict")
    assert strict.code == 3
    assert "Traceback" not in strict.err


def test_a_workbook_holds_text_not_formulas(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    tape = pl.read_parquet(portfolio / "tape.parquet").head(2)
    tape.with_columns(loan_id=pl.Series(["=1+1", "x"])).write_parquet(tmp_path / "t.parquet")
    out = tmp_path / "scores.xlsx"
    assert npl("score", tmp_path / "t.parquet", "--model", bundle, "--out", out).code == 0
    cell = load_workbook(out)["scores"]["A2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")


def test_exit_codes(npl: Npl, trained: tuple[Path, Path], tmp_path: Path) -> None:
    portfolio, bundle = trained
    out = tmp_path / "scores.parquet"
    assert npl("check", portfolio).code == 0
    assert npl("schema").code == 0
    assert npl("score", portfolio).code == 2
    assert npl("score", portfolio, "--model", bundle, "--out", tmp_path / "x.doc").code == 2
    missing = npl("check", tmp_path / "nowhere")
    assert missing.code == 3
    assert "npl import" in missing.err
    none = npl("score", portfolio, "--model", tmp_path / "nothing", "--out", out)
    assert none.code == 4
    assert "npl train" in none.err
    assert not out.exists()


def test_a_model_refuses_another_currency_or_basis(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    for old, new, told in (
        ('currency = "CNY"', 'currency = "USD"', "USD"),
        ('recovery_basis = "claim"', 'recovery_basis = "principal"', "principal"),
    ):
        other = tmp_path / told
        other.mkdir()
        for name in ("tape.parquet", "ledger.parquet"):
            (other / name).write_bytes((portfolio / name).read_bytes())
        text = (portfolio / "portfolio.toml").read_text(encoding="utf-8")
        (other / "portfolio.toml").write_text(text.replace(old, new), encoding="utf-8")
        ran = npl("score", other, "--model", bundle, "--out", tmp_path / "s.parquet")
        assert ran.code == 3
        assert told in ran.err


def test_a_model_asks_for_the_extra_fields_it_was_trained_on(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    extra = read_portfolio(portfolio).meta.extra_fields[0].name
    tape = pl.read_parquet(portfolio / "tape.parquet").drop(extra).head(3)
    tape.write_parquet(tmp_path / "t.parquet")
    out = tmp_path / "s.parquet"
    ran = npl("score", tmp_path / "t.parquet", "--model", bundle, "--out", out)
    assert ran.code == 3
    assert extra in ran.err
    assert not out.exists()


def test_strict_check_and_the_files_it_writes(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, _ = trained
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("ledger.parquet", "portfolio.toml"):
        (folder / name).write_bytes((portfolio / name).read_bytes())
    tape = pl.read_parquet(portfolio / "tape.parquet")
    tape.with_columns(
        original_amount=pl.when(pl.int_range(pl.len()) == 4).then(-1.0).otherwise("original_amount")
    ).write_parquet(folder / "tape.parquet")
    loose = npl("check", folder, "--json")
    assert (loose.code, loose.document["usable_loans"]) == (0, 1_499)
    assert npl("check", folder, "--strict").code == 3
    aside = pl.read_parquet(folder / "set_aside" / "tape_set_aside.parquet")
    assert aside["loan_id"].to_list() == [tape["loan_id"][4]]
    told = pl.read_csv(folder / "set_aside" / "faults.csv").filter(pl.col("severity") == "error")
    assert told.select("field", "row", "value").rows() == [("original_amount", 5, -1.0)]


def test_the_schema_is_printed_whole(npl: Npl) -> None:
    tables = npl("schema", "--json").document
    assert len(tables["tape"]) == 60
    assert len(tables["ledger"]) == 7
    row = next(row for row in tables["tape"] if row["field"] == "lien_rank")
    assert (row["chinese"], row["eba"]) == ("抵押顺位", "4.09")


def test_a_tape_of_which_nothing_can_be_scored_tells_why(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    portfolio, bundle = trained
    tape = pl.read_parquet(portfolio / "tape.parquet").head(2)
    zero = tape.with_columns(
        principal_outstanding=0.0, interest_outstanding=0.0, fees_outstanding=0.0
    )
    zero.write_parquet(tmp_path / "zero.parquet")
    out = tmp_path / "s.csv"
    ran = npl("score", tmp_path / "zero.parquet", "--model", bundle, "--out", out)
    assert ran.code == 0, ran.err
    assert "not scored, 2" in ran.out
    assert "recovery rate: –" in ran.out


def test_an_occupied_folder_is_refused_before_training(
    npl: Npl, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    ran = npl("train", trained[0], "--out", tmp_path / "mine")
    assert ran.code == 4
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_delivery_goes_into_a_store_once(npl: Npl, tmp_path: Path) -> None:
    assert npl("simulate", "--loans", 100, "--seed", 3, "--out", tmp_path / "p").code == 0
    store = tmp_path / "store"
    first = npl("ingest", tmp_path / "p", "--into", store, "--json")
    assert first.code == 0, first.err
    assert (first.document["commit"], first.document["counts"]["new_loans"]) == (0, 100)
    again = npl("ingest", tmp_path / "p", "--into", store)
    assert again.code == 0
    assert "nothing new" in again.out
    with exclusive(store / LOCK_FILE, "npl ingest"):
        busy = npl("ingest", tmp_path / "p", "--into", store)
    assert busy.code == 5
    assert "is at work here" in busy.err
