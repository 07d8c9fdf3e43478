"""Out-of-time splits: train on what was known on a day, judge on the vintages from that day on."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import polars as pl

from features.age import CUT_OFF
from features.pipeline import learn_spec
from features.portfolio import Portfolio
from features.targets import ULTIMATE
from models.uncertainty import VintageBy
from training.dataset import TrainingSet, training_set
from training.errors import TrainingError
from training.labels import MIN_OUTCOMES

# Share of the judged loans that the default split holds out, newest vintages first.
_HELD_OUT: Final = 0.2
# Dated cash is judged at the longest of these that leaves enough vintages on either side.
JUDGED_MONTHS: Final = (24, 12, 6)
_LEAST_LOANS: Final = 200


@dataclass(frozen=True)
class Holdout:
    """An out-of-time split.

    Attributes
    ----------
    train : TrainingSet
        Vintages before `start`. Where outcomes are dated, they are as known at the first held-out
        cut-off.
    test : TrainingSet
        Vintages from `start` on, with all that came to be known, read by the features of `train`.
    start : datetime.date
        First held-out vintage.
    horizon_months : int, optional
        Horizon at which forecasts are judged; None is the ultimate.
    """

    train: TrainingSet
    test: TrainingSet
    start: date
    horizon_months: int | None


def hold_out(
    portfolio: Portfolio,
    start: date | None = None,
    vintage_by: VintageBy = "cut_off_date",
    *,
    end: date | None = None,
    hindsight: bool = False,
) -> Holdout:
    """Split a checked portfolio by vintage.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    start : datetime.date, optional
        First held-out vintage; by default the newest fifth of the loans with a known outcome.
    vintage_by : {"cut_off_date", "origination_date"}
        What a vintage is dated by.
    end : datetime.date, optional
        First vintage no longer judged.
    hindsight : bool
        Train on outcomes of the earlier vintages that came to be known later too. Undated outcomes
        cannot be had otherwise.

    Raises
    ------
    TrainingError
        When either side is left without loans.
    """
    whole = training_set(portfolio, vintage_by=vintage_by)
    horizon, start = _judged_horizon(whole, start)
    vintages = whole.outcomes["vintage_date"]
    if not (vintages < start).any() or not (vintages >= start).any():
        raise TrainingError(
            f"no vintages on both sides of {start}; they run from {vintages.min()!s} to"
            f" {vintages.max()!s}"
        )
    dated = portfolio.meta.recovery_timing != "none"
    # The first held-out loans are valued at their cut-off, with all that is known on that day.
    first = _first_cut_off(whole, start)
    before = vintages < start
    if dated and not hindsight:
        # By origination a loan may be of an early vintage and yet fall due after that day.
        before &= whole.outcomes[CUT_OFF] <= first
    early = _loans(portfolio, whole, before)
    spec = learn_spec(early.tape, early.ledger, early.meta)
    known_on = first if dated and not hindsight else None
    train = training_set(early, spec=spec, known_on=known_on, vintage_by=vintage_by)
    late = vintages >= start if end is None else (vintages >= start) & (vintages < end)
    test = training_set(_loans(portfolio, whole, late), spec=spec, vintage_by=vintage_by)
    return Holdout(train, test, start, horizon)


def _first_cut_off(whole: TrainingSet, start: date) -> date:
    first: date = whole.outcomes.filter(pl.col("vintage_date") >= start)[CUT_OFF].sort()[0]
    return first


def _loans(portfolio: Portfolio, whole: TrainingSet, keep: pl.Series) -> Portfolio:
    ids = whole.outcomes.filter(keep.fill_null(False)).select("loan_id").lazy()
    tape = portfolio.tape.join(ids, on="loan_id", how="semi", maintain_order="left")
    return replace(portfolio, tape=tape)


def _judged(whole: TrainingSet, horizon: int | None) -> pl.Series:
    if horizon is None:
        return whole.outcomes[ULTIMATE].is_not_null()
    return whole.outcomes["observed_months"] >= horizon


def _judged_horizon(whole: TrainingSet, start: date | None) -> tuple[int | None, date]:
    """Horizon to judge at and first held-out vintage.

    Dated cash is judged at the longest horizon that enough training loans have been watched for by
    the time the held-out vintages begin.
    """
    if whole.meta.recovery_timing != "monthly":
        return None, start or _default_start(whole, None)
    limit = whole.meta.max_workout_months or 0
    for months in JUDGED_MONTHS:
        judged = _judged(whole, months)
        if months > limit or judged.sum() < _LEAST_LOANS:
            continue
        begin = start or _default_start(whole, months)
        if not (whole.outcomes["vintage_date"] >= begin).any():
            break
        watched_since = _first_cut_off(whole, begin) - timedelta(days=31 * (months + 1))
        early = whole.outcomes.filter(
            pl.col("vintage_date") < begin, pl.col(CUT_OFF) <= watched_since
        )
        if early.height >= MIN_OUTCOMES:
            return months, begin
    if start is not None:
        return min(JUDGED_MONTHS), start
    raise TrainingError(
        f"the ledger is too short to judge by: {_LEAST_LOANS} loans watched for"
        f" {min(JUDGED_MONTHS)} months are needed, and {MIN_OUTCOMES} earlier ones to train on;"
        " bring older vintages"
    )


def _default_start(whole: TrainingSet, horizon: int | None) -> date:
    vintages = whole.outcomes["vintage_date"].filter(_judged(whole, horizon)).drop_nulls()
    if vintages.is_empty():
        raise TrainingError("no loan has both a vintage and a known outcome; nothing to judge by")
    start: date = vintages.sort()[int(len(vintages) * (1 - _HELD_OUT))]
    return start.replace(day=1)
