"""What a model expects of the cash of the latest calendar months, loan by loan.

A vintage's long horizons take years to mature; the cash of the last months comes from all vintages
at once. What a model expects of it is its curve between two ages, the same whatever was paid before
(Bornhuetter & Ferguson 1972): loans closed early stand among them with nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.pipeline import build_scoring_frame
from features.portfolio import Portfolio
from models.curve_age import rate_at_age
from models.recovery import RecoveryModel
from training.errors import TrainingError

Array = NDArray[np.float64]
Months = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Expected:
    """What a model expects of loans.

    Attributes
    ----------
    window_rate : array, shape (loans,)
        Net cash in the window, fraction of EAD.
    ultimate_rate : array, shape (loans,)
        Net cash in all.
    """

    window_rate: Array
    ultimate_rate: Array


def expected_in(model: RecoveryModel, portfolio: Portfolio, loans: pl.DataFrame) -> Expected:
    """What a model expects of the loans of `loans_in`, from what was known at their cut-off.

    Raises
    ------
    TrainingError
        When the model tells no curve.
    features.errors.SpecError
        When the tape lacks an extra field of the model.
    """
    ultimate, curve = curves_of(model, portfolio, loans)
    months = loans["from_months"].to_numpy(), loans["to_months"].to_numpy()
    return Expected(between(model, curve, *months), ultimate)


def curves_of(
    model: RecoveryModel, portfolio: Portfolio, loans: pl.DataFrame
) -> tuple[Array, Array]:
    """Ultimate rates and curves of the loans of `loans_in`; errors as in `expected_in`."""
    if not model.horizons_months:
        raise TrainingError("the model tells no curve: it was trained on undated outcomes")
    ids = loans.lazy().select("loan_id")
    tape = portfolio.tape.join(ids, on="loan_id", how="semi")
    frame = build_scoring_frame(tape, portfolio.ledger, model.spec).collect(engine="streaming")
    return model.forecast(
        loans.select("loan_id").join(frame, on="loan_id", how="left", maintain_order="left")
    )


def between(model: RecoveryModel, curve: Array, from_months: Months, to_months: Months) -> Array:
    """Expected net cash of each loan between two ages of its own, fraction of EAD."""
    horizons = model.horizons_months
    return rate_at_age(curve, horizons, to_months) - rate_at_age(curve, horizons, from_months)
