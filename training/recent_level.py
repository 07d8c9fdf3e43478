"""Levelling a model to the cash of the latest months.

A change of regime moves all open workouts in the same calendar months, while a fit learns vintage
by vintage: years pass until old ones are outweighed. One constant, drawn from a few months of cash
of all vintages at once, answers it at once; what tells loans apart stays as it was learnt.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from features.pipeline import build_scoring_frame
from features.portfolio import Portfolio
from features.recent_cash import latest_window, loans_in
from models.link import rate_of
from models.recovery import RecoveryModel, curve_of
from training.errors import NoCashError, TrainingError
from training.recent_cash import between

Array = NDArray[np.float64]
# Furthest shift of the score: on the logit, rates of a half become 0.2% or 99.8%.
_REACH = 6.0


def levelled(
    model: RecoveryModel, portfolio: Portfolio, months: int, most_loans: int
) -> RecoveryModel:
    """Shift a model's score so that it expects of the latest booked months what they brought.

    Parameters
    ----------
    model : RecoveryModel
        A model of dated cash.
    portfolio : Portfolio
        Checked portfolio; what it knows, and no later month, counts.
    months : int
        Booked months that are drawn level.
    most_loans : int
        Loans looked at, at most.

    Raises
    ------
    NoCashError
        When the months brought no cash.
    TrainingError
        When the model tells no curve, no loan could bring cash, or no level brings so little or so
        much.
    """
    if model.timing is None:
        raise TrainingError("the model tells no curve: it was trained on undated outcomes")
    loans = loans_in(portfolio, latest_window(portfolio.meta, months), most_loans)
    if loans.is_empty():
        raise TrainingError(f"no loan could bring cash in the latest {months} booked months")
    came = float(loans["actual_rate"].sum())
    if came <= 0:
        raise NoCashError(
            f"{loans.height:,} loans brought no net cash in the latest {months} booked months:"
            " no level can be drawn; check the ledger"
        )
    ids = loans.lazy().select("loan_id")
    tape = portfolio.tape.join(ids, on="loan_id", how="semi")
    built = build_scoring_frame(tape, portfolio.ledger, model.spec).collect(engine="streaming")
    frame = loans.select("loan_id").join(built, on="loan_id", how="left", maintain_order="left")
    score = model.score(frame)
    shares = model.timing.shares(frame.select(model.spec.names))
    ages = loans["from_months"].to_numpy(), loans["to_months"].to_numpy()

    def excess(shift: float) -> float:
        curve = curve_of(rate_of(score + shift, model.link), shares)
        return float(between(model, curve, *ages).sum()) - came

    if excess(-_REACH) >= 0 or excess(_REACH) <= 0:
        raise TrainingError(
            f"cash of the latest {months} months is {came / loans.height:.4f} times the exposure of"
            " a loan on average, which no level of the model's forecasts comes to; check the ledger"
        )
    return replace(model, level=model.level + float(brentq(excess, -_REACH, _REACH, xtol=1e-9)))
