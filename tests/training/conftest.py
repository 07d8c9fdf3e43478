"""Training sets made of plain arrays, and the bank whose nights are tested."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.horizons import HORIZONS_MONTHS, rate_column
from features.portfolio import PortfolioMeta
from features.spec import FeatureDefinition, FeatureSpec
from tests.training.night_bank import bank, done, founded
from training.dataset import TrainingSet

__all__ = ["bank", "done", "founded"]


@pytest.fixture(scope="session")
def set_of() -> Callable[..., TrainingSet]:
    """Make a training set: features by name, ultimate rates, months watched and to the closing.

    Strings become categories. Rates at horizons are the ultimate where watched or closed.
    """

    def make(
        features: dict[str, Any],
        rate: Any,
        *,
        timing: str = "none",
        watched: Any = 120,
        closed: Any = None,
        days: Any = None,
        limit: int | None = None,
    ) -> TrainingSet:
        count = len(rate)
        rate = np.asarray(rate, dtype=np.float64)
        watched = np.broadcast_to(watched, count).astype(np.int32)
        closed = pl.Series(closed if closed is not None else [None] * count, dtype=pl.Int32)
        days = np.arange(count) if days is None else np.asarray(days)
        vintages = [date(2010, 1, 1) + timedelta(days=int(day)) for day in days]
        columns, definitions = [], []
        for name, values in features.items():
            series = pl.Series(name, values)
            levels: tuple[str, ...] = ()
            if series.dtype == pl.String:
                levels = tuple(series.drop_nulls().unique().sort())
                series = series.cast(pl.Enum(levels))
            columns.append(series)
            definitions.append(
                FeatureDefinition(
                    name=name,
                    group="age",
                    kind="category" if levels else "number",
                    unit="",
                    levels=levels,
                    meaning_en=name,
                    meaning_zh="数",
                )
            )
        identifiers = pl.Series("loan_id", [f"L{n}" for n in range(count)])
        is_closed = closed.is_not_null().to_numpy()
        known = is_closed if timing == "resolution" else np.ones(count, dtype=bool)
        if timing == "monthly":
            known = is_closed | (watched >= (limit or 10**6))
        outcomes = pl.DataFrame(
            {
                "loan_id": identifiers,
                "cut_off_date": vintages,
                "ead_amount": np.full(count, 1000.0),
                "observed_months": watched,
                "closed_months": closed,
                "is_resolved": known,
                **{
                    rate_column(months): [
                        float(r) if w >= months or c else None
                        for r, w, c in zip(rate, watched, is_closed, strict=True)
                    ]
                    for months in HORIZONS_MONTHS
                },
                "recovery_rate_ultimate": [
                    float(r) if k else None for r, k in zip(rate, known, strict=True)
                ],
                "vintage_date": vintages,
            }
        )
        return TrainingSet(
            meta=PortfolioMeta.model_validate(
                {
                    "name": "arrays",
                    "source_system": "synthetic",
                    "currency": "CNY",
                    "observed_until_date": date(2030, 12, 31),
                    "recovery_basis": "principal",
                    "recovery_timing": timing,
                    "max_workout_months": limit,
                }
            ),
            spec=FeatureSpec(basis="principal", extra_fields=(), definitions=tuple(definitions)),
            features=pl.DataFrame([identifiers, *columns]),
            outcomes=outcomes,
        )

    return make
