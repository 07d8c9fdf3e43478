"""Every malformed tape and ledger gives exactly its messages, and the other rows stay usable."""

import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.check import check_portfolio
from features.errors import PortfolioError
from features.faults import Faults
from features.portfolio import Portfolio, read_portfolio, write_portfolio

HERE = Path(__file__).parent


def cases(name: str) -> list[Any]:
    document = tomllib.loads((HERE / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in document["case"]]


def kept_rows(table: pl.LazyFrame, set_aside: list[int]) -> list[int]:
    return [row for row in range(1, table.collect().height + 1) if row not in set_aside]


def test_the_portfolio_that_the_cases_damage_has_no_fault(build: Any) -> None:
    portfolio = build({}, {}, {})
    checked = check_portfolio(portfolio)
    assert checked.faults.messages() == []
    assert (checked.tape_rows, checked.ledger_rows) == (4, 4)
    assert checked.tape_set_aside.is_empty()
    assert checked.portfolio.tape.collect().height == 4
    checked.require_clean()


@pytest.mark.parametrize("case", cases("tapes.toml"))
def test_malformed_tape(build: Any, case: dict[str, Any]) -> None:
    portfolio = build(case, {}, {})
    checked = check_portfolio(portfolio)
    assert checked.faults.messages() == case["messages"]
    assert sum(checked.faults.counts().values()) == len(case["messages"])
    assert checked.tape_set_aside["row"].to_list() == case["set_aside"]
    kept = kept_rows(portfolio.tape, case["set_aside"])
    good = checked.portfolio.tape.collect()
    if "loan_id" in portfolio.tape.collect_schema():
        loans = portfolio.tape.collect()["loan_id"].to_list()
        assert good["loan_id"].to_list() == [loans[row - 1] for row in kept]
        # Cash follows its loan: no row of a loan that is not there, every row of one that is.
        cash = portfolio.ledger.collect().filter(pl.col("loan_id").is_in(good["loan_id"].to_list()))
        assert checked.portfolio.ledger.collect()["loan_id"].to_list() == cash["loan_id"].to_list()
    assert_strictness(checked.faults, checked.require_clean)


@pytest.mark.parametrize("case", cases("ledgers.toml"))
def test_malformed_ledger(build: Any, case: dict[str, Any]) -> None:
    portfolio = build({}, case, case.get("description", {}))
    checked = check_portfolio(portfolio)
    assert checked.faults.messages() == case["messages"]
    assert checked.ledger_set_aside["row"].to_list() == case["set_aside"]
    assert checked.portfolio.tape.collect().height == 4
    rows = portfolio.ledger.collect()
    kept = kept_rows(portfolio.ledger, case["set_aside"])
    if "loan_id" in rows.columns:
        expected = [rows["loan_id"][row - 1] for row in kept]
        assert checked.portfolio.ledger.collect()["loan_id"].to_list() == expected
        lost = {rows["loan_id"][row - 1] for row in case["set_aside"]} & {"L1", "L2", "L3", "L4"}
        assert checked.incomplete_loans["loan_id"].to_list() == sorted(lost)
    assert_strictness(checked.faults, checked.require_clean)


def assert_strictness(faults: Faults, require_clean: Any) -> None:
    """Strict mode refuses errors, telling them, and lets warnings pass."""
    errors = faults.listed.filter(pl.col("severity") == "error")
    if errors.is_empty():
        require_clean()
        return
    with pytest.raises(PortfolioError) as refused:
        require_clean()
    assert f"{errors.height} error" in str(refused.value)
    assert errors["mend"][0] in str(refused.value)


@pytest.mark.parametrize("case", cases("descriptions.toml"))
def test_malformed_description(build: Any, tmp_path: Path, case: dict[str, Any]) -> None:
    folder = written(build, tmp_path)
    good = (HERE / "good" / "portfolio.toml").read_text(encoding="utf-8")
    text = case["text"] if "text" in case else good.replace(*case["replace"])
    assert text != good
    (folder / "portfolio.toml").write_text(text, encoding=case.get("encoding", "utf-8"))
    with pytest.raises(PortfolioError) as refused:
        read_portfolio(folder)
    for fragment in ("portfolio.toml", *case["message"]):
        assert fragment in str(refused.value)


def written(build: Any, tmp_path: Path) -> Path:
    good: Portfolio = build({}, {}, {})
    write_portfolio(tmp_path / "P", good.meta, good.tape, good.ledger)
    return tmp_path / "P"


@pytest.mark.parametrize("name", ["tape.parquet", "ledger.parquet"])
@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        pytest.param(b"", "not a readable parquet file", id="no bytes"),
        pytest.param("借据号,本金\n".encode("gb18030"), "not a readable parquet file", id="CSV"),
        pytest.param(None, "missing; a portfolio needs all three", id="no such file"),
    ],
)
def test_malformed_folder(
    build: Any, tmp_path: Path, name: str, content: bytes | None, fragment: str
) -> None:
    folder = written(build, tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(PortfolioError) as refused:
        read_portfolio(folder)
    assert name in str(refused.value)
    assert fragment in str(refused.value)


def test_a_parquet_file_cut_off_in_the_middle(build: Any, tmp_path: Path) -> None:
    folder = written(build, tmp_path)
    content = bytearray((folder / "ledger.parquet").read_bytes())
    content[4:200] = bytes(196)
    (folder / "ledger.parquet").write_bytes(bytes(content))
    with pytest.raises(PortfolioError, match="cannot be read to its end"):
        check_portfolio(read_portfolio(folder))


def test_not_a_folder(tmp_path: Path) -> None:
    with pytest.raises(PortfolioError, match="not a folder; a portfolio is a folder of"):
        read_portfolio(tmp_path / "nowhere")
