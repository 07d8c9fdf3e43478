"""Forecasts on record, found by model first and then loaded a model at a time.

Every transaction is short: a long one would keep the database from clearing up behind it.
"""

import json
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from service.errors import ConflictError
from service.kept_forecasts import KINDS, PACKAGE, RecordedValuation, recorded_valuation
from service.storage import VALUATIONS

_AT_A_TIME: Final = 50
_ENTRIES_AT_A_TIME: Final = 2_000


def places_by_model(engine: sa.Engine) -> dict[str, list[int]]:
    """Places on record of the valuations of each model version, in order."""
    found: dict[str, list[int]] = {}
    last = 0
    while True:
        query = (
            sa.select(VALUATIONS.c.sequence, VALUATIONS.c.entry)
            .where(VALUATIONS.c.sequence > last)
            .order_by(VALUATIONS.c.sequence)
            .limit(_ENTRIES_AT_A_TIME)
        )
        with engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return found
        last = rows[-1].sequence
        for row in rows:
            entry = json.loads(row.entry)
            if entry.get("kind") in KINDS:
                found.setdefault(entry["model_version"], []).append(row.sequence)


def valuations_at(
    engine: sa.Engine, data_folder: Path, places: list[int]
) -> tuple[list[tuple[str, RecordedValuation]], list[str]]:
    """Valuations at some places on record, and why others there cannot be read.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the service.
    data_folder : Path
        Of the service.
    places : list of int
        Sequence numbers, in order.

    Returns
    -------
    list of tuple of str and RecordedValuation
        Each with its package, empty for an answer to loans in JSON.
    list of str
        A sentence for each that cannot be read.
    """
    found, left_out = [], []
    for start in range(0, len(places), _AT_A_TIME):
        part = places[start : start + _AT_A_TIME]
        query = sa.select(VALUATIONS).where(VALUATIONS.c.sequence.in_(part))
        with engine.connect() as connection:
            rows = connection.execute(query.order_by(VALUATIONS.c.sequence)).all()
        for row in rows:
            try:
                valuation = recorded_valuation(row, data_folder)
            except ConflictError as error:
                left_out.append(error.detail)
                continue
            if valuation is not None:
                is_package = valuation.entry["kind"] == PACKAGE
                found.append((valuation.entry["package_id"] if is_package else "", valuation))
    return found, left_out
