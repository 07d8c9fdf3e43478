"""A small portfolio without a fault, and the ways to damage it."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.ledger import Ledger
from features.portfolio import Portfolio, PortfolioMeta
from features.tape import tape_dtypes

HERE = Path(__file__).parent
Damage = Mapping[str, Any]
Build = Callable[[Damage, Damage, Damage], Portfolio]


def _good(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def damaged(rows: list[dict[str, Any]], damage: Damage) -> list[dict[str, Any]]:
    """Return the rows with one thing wrong, told by a case of a TOML table."""
    rows = [dict(row) for place, row in enumerate(rows, 1) if place in damage.get("keep", (place,))]
    for name in damage.get("empty_all", []):
        for row in rows:
            row[name] = None
    if "copy_of" in damage:
        rows.append(dict(rows[damage["copy_of"] - 1]))
    place = damage.get("row", 0) - 1
    for name, value in damage.get("cells", {}).items():
        rows[place][name] = value
    for name in damage.get("empty", []):
        rows[place][name] = None
    for name, value in damage.get("all_rows", {}).items():
        for row in rows:
            row[name] = value
    for name in damage.get("drop", []):
        for row in rows:
            row.pop(name, None)
    for old, new in damage.get("rename", {}).items():
        rows = [{new if name == old else name: row[name] for name in row} for row in rows]
    return [] if damage.get("no_rows") else rows


def table(
    rows: list[dict[str, Any]], columns: list[str], dtypes: Mapping[str, Any]
) -> pl.DataFrame:
    """Build a table; a column with a value that is not of its type becomes text, as in a CSV."""
    series = []
    for name in columns:
        values = [row.get(name) for row in rows]
        try:
            series.append(pl.Series(name, values, dtype=dtypes.get(name), strict=True))
        except (TypeError, pl.exceptions.PolarsError):
            texts = [None if value is None else str(value) for value in values]
            series.append(pl.Series(name, texts, dtype=pl.String))
    return pl.DataFrame(series)


def _columns(rows: list[dict[str, Any]], good: list[dict[str, Any]], damage: Damage) -> list[str]:
    shown = rows or damaged(good, {**damage, "no_rows": False})
    return list({name: None for row in shown for name in row})


@pytest.fixture(scope="session")
def build() -> Build:
    """Build the good portfolio with damage to the tape, the ledger or the description."""
    description, tables = _good("good/portfolio.toml"), _good("good/tables.toml")
    numbers = {extra["name"]: pl.Float64 for extra in description["extra_fields"][1:]}
    ledger_dtypes = {name: column.dtype for name, column in Ledger.columns().items()}

    def portfolio(tape: Damage, ledger: Damage, meta: Damage) -> Portfolio:
        loans = damaged(tables["loan"], tape)
        cash = damaged(tables["cash"], ledger)
        return Portfolio(
            meta=PortfolioMeta.model_validate({**description, **meta}),
            tape=table(
                loans, _columns(loans, tables["loan"], tape), tape_dtypes() | numbers
            ).lazy(),
            ledger=table(cash, _columns(cash, tables["cash"], ledger), ledger_dtypes).lazy(),
        )

    return portfolio
