"""Forecasts as they were made, kept as long as the record, to meet their loans' later cash.

Nothing is scored again: a package leaves a file whose hash stands on record, an answer to loans in
JSON leaves its rates beside the loans that a replay reads. Identifiers are keyed hashes in both.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import sqlalchemy as sa
from polars import selectors as cs

from features.age import CUT_OFF
from features.frames import Frame, collected
from features.horizons import HORIZONS_MONTHS, rate_column
from service.blocks import BLOCK_ROWS
from service.conversion import unpacked
from service.errors import ConflictError
from service.package_folder import FORECASTS, PackageFolder

RECOVERIES, PACKAGE = "recoveries", "package"
KINDS: Final = (RECOVERIES, PACKAGE)
# Of the checked tape: what monitoring groups loans by.
_FACTS: Final[dict[str, pl.DataType]] = {
    "loan_id": pl.String(),
    "snapshot_date": pl.Date(),
    "asset_class": pl.String(),
    "borrower_adcode": pl.String(),
}
_OWN: Final = ("loan_id", "ead", "recovery_rate")
_SCORES: Final[dict[str, pl.DataType]] = {
    "loan_id": pl.String(),
    "ead": pl.Float64(),
    "recovery_rate": pl.Float64(),
    **{rate_column(months): pl.Float64() for months in HORIZONS_MONTHS},
}
# Place of the rates among the parts of a stored answer, after what a replay reads.
_PART: Final = 3


class _Loan(msgspec.Struct, gc=False):
    loan_id: str | None
    recovery_rate: float | None


class _Answer(msgspec.Struct):
    loans: list[_Loan]


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def rates_of(scores: pl.DataFrame) -> pl.DataFrame:
    """What is kept of the forecasts of an answer; loans without one are left out.

    Parameters
    ----------
    scores : polars.DataFrame
        Scored rows; see `models.scoring.score_loans`.
    """
    kept = scores[[name for name in _SCORES if name in scores.columns]]
    return kept.drop_nulls("recovery_rate")


def answered_rates(answer: bytes) -> dict[str, float]:
    """Ultimate rate of each loan of an answer that has one, by the identifier it bears."""
    return {
        loan.loan_id: loan.recovery_rate
        for loan in _ANSWER.decode(answer).loans
        if loan.loan_id is not None and loan.recovery_rate is not None
    }


def forecasts_of(
    scores: pl.LazyFrame, tape: pl.LazyFrame, cut_off_date: date | None
) -> Iterator[pl.DataFrame]:
    """What is kept of the forecasts of a package, block after block.

    Parameters
    ----------
    scores : polars.LazyFrame
        Scored rows, those that were set aside among them.
    tape : polars.LazyFrame
        The rows that were not set aside, in the same order.
    cut_off_date : date, optional
        Day all were valued at; by default each at its own.
    """
    # Only rows that were looked at bear flags, if empty ones.
    rates = scores.filter(pl.col("flags").is_not_null()).select(
        cs.by_name(*_SCORES, require_all=False)
    )
    facts = _facts(tape, cut_off_date).drop("loan_id")
    loans = int(tape.select(pl.len()).collect().item())
    for start in range(0, max(loans, 1), BLOCK_ROWS):
        parts = [collected(plan.slice(start, BLOCK_ROWS)) for plan in (rates, facts)]
        yield pl.concat(parts, how="horizontal").drop_nulls("recovery_rate")


def _facts(tape: Frame, cut_off_date: date | None) -> Frame:
    found = tape.collect_schema()
    held = tape.select(
        pl.col(name).cast(dtype) if name in found else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in _FACTS.items()
    )
    cut_off = pl.col("snapshot_date") if cut_off_date is None else pl.lit(cut_off_date)
    return held.select("loan_id", cut_off.alias(CUT_OFF), "asset_class", "borrower_adcode")


@dataclass(frozen=True)
class RecordedValuation:
    """A valuation on record and the forecasts it gave.

    Attributes
    ----------
    id : str
        Its name on record.
    entry : dict
        What stands on record.
    forecasts : polars.DataFrame
        A row a loan with a forecast: `loan_id` (keyed hash), `ead` (currency), `recovery_rate`,
        the rates of the curve, `cut_off_date`, `asset_class`, `borrower_adcode`.
    """

    id: str
    entry: dict[str, Any]
    forecasts: pl.DataFrame


def recorded_valuation(row: sa.Row[Any], data_folder: Path) -> RecordedValuation | None:
    """Valuation of a row of the record; None where the entry is of another kind.

    Parameters
    ----------
    row : sqlalchemy row
        Of `service.storage.VALUATIONS`.
    data_folder : Path
        Of the service.

    Raises
    ------
    ConflictError
        When the kept forecasts are missing or were altered.
    """
    entry = json.loads(row.entry)
    kind = entry.get("kind")
    if kind == PACKAGE:
        return RecordedValuation(row.id, entry, _of_package(entry, data_folder))
    if kind == RECOVERIES:
        return RecordedValuation(row.id, entry, _of_answer(row, entry))
    return None


def _of_package(entry: dict[str, Any], data_folder: Path) -> pl.DataFrame:
    package = entry["package_id"]
    path = PackageFolder(data_folder, package).kept(entry["attempt"]) / FORECASTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConflictError(f"the forecasts of package {package} are missing") from error
    if hashlib.sha256(content).hexdigest() != entry["kept_forecasts_hash"]:
        raise ConflictError(f"the forecasts of package {package} were altered")
    return pl.read_parquet(content)


def _of_answer(row: sa.Row[Any], entry: dict[str, Any]) -> pl.DataFrame:
    if row.input is None or hashlib.sha256(row.input).hexdigest() != entry["stored_input_hash"]:
        raise ConflictError(f"the loans on record of {row.id} are missing or were altered")
    try:
        parts = msgspec.msgpack.decode(row.input, type=list[bytes])
        loans = unpacked(parts[0], _FACTS)
        scores = unpacked(parts[_PART], _SCORES)
    except (msgspec.MsgspecError, IndexError) as error:
        raise ConflictError(f"the loans on record of {row.id} tell no forecasts") from error
    day = entry["parameters"]["cut_off_date"]
    facts = _facts(loans, None if day is None else date.fromisoformat(day))
    # A horizon that the model does not tell is no column.
    told = [name for name in _SCORES if name in _OWN or scores[name].count()]
    scores = scores[told]
    if scores["loan_id"].equals(facts["loan_id"]):
        # The usual case: every loan has a forecast, in the order they came.
        return scores.hstack(facts.drop("loan_id"))
    return scores.join(facts, on="loan_id", how="left", maintain_order="left")
