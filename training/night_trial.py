"""The trial of a night: champion and challenger on cash that neither has seen."""

import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.age import CUT_OFF
from features.errors import PortfolioStoreError
from features.exposure import EAD
from features.horizons import rate_column
from features.months import month_number
from features.pipeline import build_features
from features.portfolio import Portfolio
from features.recent_cash import Window, latest_window, loans_in
from features.store import PortfolioStore
from features.targets import ULTIMATE, realised_recovery
from models.bundle import Bundle, read_bundle
from models.recovery import RecoveryModel
from models.scoring import QUANTILES, score_loans
from training.errors import TrainingError
from training.night_settings import GateSettings
from training.night_training import as_fitted, fit_as_of, lacks_level, way_of
from training.promotion import Shipment, Trial
from training.recent_cash import expected_in

Array = NDArray[np.float64]
_TIMED_LOANS: Final = 5_000
_ALONE: Final = 10
_MEGABYTE: Final = 1_000_000


def known_on_the_eve(
    store: PortfolioStore, window: Window
) -> tuple[Portfolio, PortfolioStore | None]:
    """Portfolio as it was known before the trial, and the store it was read from.

    Where the store does not reach back, it is today's portfolio and None: its tape may tell what
    was not known then.
    """
    try:
        then = store.as_of(window.eve)
    except PortfolioStoreError:
        return store.portfolio(learnable=True), None
    return then.portfolio(learnable=True), then


def run_trial(
    store: PortfolioStore, champion: Bundle, shipped: Bundle, settings: GateSettings
) -> tuple[Trial, tuple[str, ...]]:
    """Forecast the trial's cash with both, from what was known before it.

    The challenger is fitted its way on what the store knew on the eve. The champion stands as it
    is where it knew no more, and else is fitted its way as well.

    Returns
    -------
    tuple of (Trial, tuple of str)
        Forecasts beside what came; and what the trial could not see.

    Raises
    ------
    TrainingError
        When too little was known on the eve, or no loan is on trial.
    """
    now = store.portfolio(learnable=True)
    window = latest_window(now.meta, settings.trial_months)
    then, past = known_on_the_eve(store, window)
    most = settings.most_loans
    challenger = fit_as_of(then, way_of(shipped.provenance), window.eve, most)
    standing = champion.model
    if date.fromisoformat(champion.provenance.known_on) > window.eve:
        standing = fit_as_of(then, way_of(champion.provenance), window.eve, most)
    loans = loans_in(now, window, most)
    if loans.is_empty():
        raise TrainingError(f"no loan could bring cash from {window.eve} on: nothing to judge by")
    tape = _as_told_first(then, now)
    seen = replace(now, tape=tape)
    ours, theirs = expected_in(challenger, seen, loans), expected_in(standing, seen, loans)
    trial = Trial(
        vintage=loans["vintage"].to_numpy(),
        asset_class=loans["asset_class"].fill_null("").to_numpy(),
        ead=loans[EAD].to_numpy(),
        actual=loans["actual_rate"].to_numpy(),
        champion=theirs.window_rate,
        challenger=ours.window_rate,
        champion_ultimate=theirs.ultimate_rate,
        challenger_ultimate=ours.ultimate_rate,
        shipped_ultimate=expected_in(shipped.model, now, loans).ultimate_rate,
    )
    return trial, unjudged(challenger, standing, shipped, past)


def _as_told_first(then: Portfolio, now: Portfolio) -> pl.LazyFrame:
    """Loans as they were told before the trial, and those that came in during it."""
    came = now.tape.join(then.tape.select("loan_id"), on="loan_id", how="anti")
    return pl.concat([then.tape, came], how="diagonal")


def unjudged(
    challenger: RecoveryModel,
    champion: RecoveryModel,
    shipped: Bundle,
    past: PortfolioStore | None,
) -> tuple[str, ...]:
    """What a trial cannot see of the model that is shipped; each leaves it to a person."""
    told = []
    if lacks_level(shipped):
        told.append("no cash came to draw its level from: it is as fitted")
    if past is None:
        told.append(
            "the store does not reach back before the trial: what was known then is a guess"
        )
    read = set(shipped.model.spec.names)
    for names, whose in (
        (challenger.spec.names, "model judged"),
        (champion.spec.names, "champion"),
    ):
        more, less = sorted(read - set(names)), sorted(set(names) - read)
        if more:
            told.append(f"reads {', '.join(more)}, which the {whose} did not")
        if less:
            told.append(f"no longer reads {', '.join(less)}, which the {whose} did")
    return tuple(told)


def inspect_shipment(
    folder: Path, bundle: Bundle, now: Portfolio, settings: GateSettings, unjudged: tuple[str, ...]
) -> Shipment:
    """Look at the bundle on disk: parity, speed, size and the coverage of its intervals."""
    window = latest_window(now.meta, settings.trial_months)
    loans = loans_in(now, window, _TIMED_LOANS)
    tape = now.tape.join(loans.lazy().select("loan_id"), on="loan_id", how="semi")
    features = build_features(tape, now.ledger, bundle.model.spec).collect(engine="streaming")
    # Time of the processor: what else the machine is busy with says nothing of the model.
    began = time.process_time()
    forecast = bundle.model.recovery_rate(features)
    seconds = (time.process_time() - began) * 1_000 / features.height
    again = read_bundle(folder).model
    alone = [again.recovery_rate(features[row : row + 1])[0] for row in range(_ALONE)]
    same = np.array_equal(forecast, again.recovery_rate(features))
    return Shipment(
        parity=bool(same and np.array_equal(forecast[:_ALONE], alone)),
        seconds=seconds,
        megabytes=sum(file.stat().st_size for file in folder.iterdir()) / _MEGABYTE,
        # Outcomes that matured hold years of cash from before a change of level: what they can
        # tell is whether the spread about the fit is right. The level is judged by the trial.
        coverage=_coverage(as_fitted(bundle), now, window),
        unjudged=unjudged,
    )


def _coverage(model: RecoveryModel, now: Portfolio, window: Window) -> float | None:
    """Share of the outcomes that matured in the trial within P10 to P90."""
    if model.uncertainty is None:
        return None
    months = model.uncertain_months or model.ultimate_months
    if months is None:
        return None
    matured = month_number(pl.col(CUT_OFF)) + months
    column = ULTIMATE if model.uncertain_months is None else rate_column(months)
    outcomes = (
        realised_recovery(now)
        .filter(matured.is_between(window.first, window.last), pl.col(column).is_not_null())
        .select("loan_id", actual=column)
        .collect(engine="streaming")
    )
    if outcomes.is_empty():
        return None
    tape = now.tape.join(outcomes.lazy().select("loan_id"), on="loan_id", how="semi")
    low, high = (f"recovery_rate_p{round(100 * q)}" for q in (QUANTILES[0], QUANTILES[-1]))
    scores = score_loans(model, tape, now.ledger).join(outcomes, on="loan_id")
    within = scores.select(pl.col("actual").is_between(pl.col(low), pl.col(high)).mean()).item()
    return None if within is None else float(within)
