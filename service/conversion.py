"""Wire to frames and back: loans in JSON become a tape, scored rows become JSON.

Only the form changes here. What a value means, and whether it is sound, is the check's business.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from itertools import chain
from typing import Any, Final

import msgspec
import polars as pl

from features.horizons import rate_column
from features.ledger import Ledger
from features.tape import tape_dtypes
from models.bundle import Bundle
from models.scoring import FACTORS, QUANTILES, quantile_column

Value = str | int | float | bool | None
Row = Mapping[str, Value]
_ISO_DAY: Final = 10


def tape_of(loans: list[dict[str, Value]], defaults: Row, bundle: Bundle) -> pl.DataFrame:
    """Loans as a tape, one row each; the check reads what is not yet of the schema's type.

    Parameters
    ----------
    loans : list of dict
        Fields of each loan; a field that a loan leaves out is missing there.
    defaults : mapping
        Fields of loans that do not give them.
    bundle : Bundle
        The model, whose extra fields belong to the tape.
    """
    extra = {field.name: field.dtype for field in bundle.model.spec.extra_fields}
    return _frame(loans, defaults, tape_dtypes() | extra)


def ledger_of(rows: list[dict[str, Value]]) -> pl.DataFrame:
    """Cash as a ledger, one row each."""
    return _frame(rows, {}, {name: column.dtype for name, column in Ledger.columns().items()})


def _frame(
    rows: list[dict[str, Value]], defaults: Row, dtypes: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    # Every row is a row, even one that says nothing.
    names = {"loan_id": None} | dict.fromkeys(chain.from_iterable((*rows, defaults)))
    columns = []
    for name in names:
        default = defaults.get(name)
        columns.append(_series(name, [row.get(name, default) for row in rows], dtypes.get(name)))
    return pl.DataFrame(columns)


def _series(name: str, values: list[Value], dtype: pl.DataType | None) -> pl.Series:
    """A column in the schema's type where every value has its form, else as texts."""
    kinds = set(map(type, values)) - {type(None)}
    if dtype is None and kinds <= {int, float}:
        dtype = pl.Float64()
    try:
        if dtype == pl.Date and kinds <= {str}:
            return pl.Series(name, _days(values), dtype=dtype)
        if dtype == pl.Float64 and kinds <= {int, float}:
            if int in kinds:
                values = [None if value is None else float(value) for value in values]
            return pl.Series(name, values, dtype=dtype)
        if dtype == pl.Int32 and kinds <= {int}:
            return pl.Series(name, values, dtype=dtype)
        if dtype == pl.Boolean and kinds <= {bool}:
            return pl.Series(name, values, dtype=dtype)
        if isinstance(dtype, pl.Enum) and kinds <= {str}:
            return pl.Series(name, values, dtype=dtype, strict=True)
    except (ValueError, OverflowError, TypeError, pl.exceptions.PolarsError):
        # The check says, value by value, what cannot be read.
        pass
    texts = values if kinds <= {str} else [_text(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def _days(values: Iterable[Any]) -> list[date | None]:
    """Days of ISO texts, whole ones only; missing ones stay missing."""
    found = [None if value is None else date.fromisoformat(value) for value in values]
    if any(value is not None and len(value) != _ISO_DAY for value in values):
        raise ValueError(f"a day has {_ISO_DAY} characters")
    return found


def _text(value: Value) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def loan_documents(scores: pl.DataFrame, bundle: Bundle) -> list[dict[str, Any]]:
    """Scored rows as plain values, one document a loan, in their order."""
    if scores.is_empty():
        return []
    columns = {name: scores[name].to_list() for name in scores.columns}
    curve = [
        (months, columns[rate_column(months)])
        for months in bundle.model.horizons_months
        if rate_column(months) in columns
    ]
    quantiles = [
        (f"p{round(100 * p):02d}", columns[quantile_column(p)])
        for p in QUANTILES
        if quantile_column(p) in columns
    ]
    sure = [n for n in ("probability_of_nothing", "expected_shortfall_rate") if n in columns]
    reasons = _reasons(columns, bundle) if "base_rate" in columns else None
    documents = []
    for place, loan_id in enumerate(columns["loan_id"]):
        ead, rate = columns["ead"][place], columns["recovery_rate"][place]
        document: dict[str, Any] = {
            "loan_id": loan_id,
            "ead_amount": ead,
            "recovery_rate": rate,
            "expected_recovery_amount": columns["expected_recovery_amount"][place],
            "curve": [
                {
                    "horizon_months": months,
                    "recovery_rate": rates[place],
                    "cash_amount": None if rate is None else ead * rates[place],
                }
                for months, rates in curve
            ],
            "quantiles": {name: values[place] for name, values in quantiles},
            **{name: columns[name][place] for name in sure},
            "flags": [flag for flag in (columns["flags"][place] or "").split(";") if flag],
            "reason_not_scored": columns["reason"][place],
        }
        if "correction_id" in columns:
            document["correction"] = _correction(columns, place)
        if reasons is not None:
            document["reasons"] = None if rate is None else reasons[place]
        documents.append(document)
    return documents


def _correction(columns: Mapping[str, list[Any]], place: int) -> dict[str, Any] | None:
    if columns["correction_id"][place] is None:
        return None
    return {
        "id": columns["correction_id"][place],
        "factor": columns["correction_factor"][place],
        "rate_points": columns["points_correction"][place],
    }


def _reasons(columns: Mapping[str, list[Any]], bundle: Bundle) -> list[dict[str, Any]]:
    meanings = {
        d.name: (d.group, d.meaning_en, d.meaning_zh) for d in bundle.model.spec.definitions
    }
    places = [n for n in range(1, FACTORS + 1) if f"factor_{n}" in columns]
    told = [
        (columns[f"factor_{n}"], columns[f"factor_{n}_value"], columns[f"factor_{n}_points"])
        for n in places
    ]
    found = []
    for row, base in enumerate(columns["base_rate"]):
        factors = []
        for features, values, points in told:
            if features[row] is None:
                continue
            group, english, chinese = meanings[features[row]]
            factors.append(
                {
                    "feature": features[row],
                    "group": group,
                    "meaning_en": english,
                    "meaning_zh": chinese,
                    "value": values[row],
                    "rate_points": points[row],
                }
            )
        found.append(
            {
                "base_rate": base,
                "factors": factors,
                "other_rate_points": columns["other_points"][row],
            }
        )
    return found


def packed(frame: pl.DataFrame) -> bytes:
    """A small table as bytes: its columns that hold anything."""
    held = [column for column in frame if column.null_count() < len(column)]
    return msgspec.msgpack.encode(
        {"rows": frame.height, "columns": {column.name: column.to_list() for column in held}}
    )


def unpacked(content: bytes, dtypes: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The table that `packed` was given, every column of `dtypes` in its type."""
    document = msgspec.msgpack.decode(content)
    rows, columns = document["rows"], document["columns"]
    return pl.DataFrame(
        [
            _unpacked_series(name, columns.get(name, [None] * rows), dtype)
            for name, dtype in dtypes.items()
        ]
    )


def _unpacked_series(name: str, values: Iterable[Any], dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Date:
        values = _days(values)
    elif isinstance(dtype, pl.Datetime):
        return pl.Series(name, list(values), dtype=pl.String).str.to_datetime(time_unit="us")
    return pl.Series(name, list(values), dtype=dtype)
