"""Walk-forward residuals: what forecasts of later vintages missed, made on earlier ones alone."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.horizons import HORIZONS_MONTHS, rate_column
from features.months import month_number
from features.targets import ULTIMATE
from models.recovery import RecoveryModel
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.fit import fit_recovery
from training.labels import MIN_OUTCOMES, known_outcomes
from training.settings import FitSettings

# Expanding folds between these shares of the loans, in vintage order.
FOLD_EDGES: Final = tuple(float(edge) for edge in np.linspace(0.25, 1.0, 7))
LEAST_FOLDS: Final = 4
_LEAST_FOLD_LOANS: Final = 30
# More loans than this move a fold's forecast less than a new vintage does.
MOST_TRAINING_LOANS: Final = 15_000

Fold = tuple[TrainingSet, TrainingSet]


def walk_forward_residuals(
    data: TrainingSet,
    settings: FitSettings,
    horizon_months: int | None = None,
    *,
    starts: Sequence[date] | None = None,
    hindsight: bool = False,
) -> pl.DataFrame:
    """Forecast and realised rates of loans in vintages their model has not seen.

    Expanding folds: each is fitted on the vintages before it, and forecasts the next block. Where
    outcomes are dated, it is fitted on what was known on the fold's own first cut-off, but for
    cash posted late. Undated outcomes cannot be put back in time: those folds are fitted on the
    final outcomes of the earlier vintages.

    Parameters
    ----------
    data : TrainingSet
        Training loans.
    settings : FitSettings
        Settings of the fits.
    horizon_months : int, optional
        Judge the cumulative rate at this horizon, over loans watched that long, open or closed. By
        default the longest that leaves `LEAST_FOLDS` folds; undated outcomes have none.
    starts : sequence of datetime.date, optional
        First vintages of the blocks, rising; the last block runs to the end. By default six blocks
        of equal size over the newer three quarters of the loans.
    hindsight : bool
        Fit on outcomes of the earlier vintages that came to be known later too.

    Returns
    -------
    polars.DataFrame
        A row a loan: `loan_id`; `vintage_date`; `region` (of the borrower, else of the collateral,
        else empty); `asset_class` (empty where unknown); `ead` (currency); `forecast_rate` and
        `realised_rate` (net, fractions of EAD, at the horizon); `fold` (from 0);
        `horizon_months` (missing: the ultimate).

    Raises
    ------
    TrainingError
        When no horizon leaves `LEAST_FOLDS` folds with enough outcomes on both sides.
    """
    if data.meta.recovery_timing == "none":
        if horizon_months is not None:
            raise TrainingError(
                f"horizon_months is {horizon_months}, but outcomes are undated; leave it out"
            )
        candidates: Sequence[int | None] = (None,)
    else:
        candidates = (horizon_months,) if horizon_months else HORIZONS_MONTHS[::-1]
    for months in candidates:
        folds = expanding_folds(data, months, starts=starts, hindsight=hindsight)
        if len(folds) >= LEAST_FOLDS:
            models = [fit_recovery(sampled(train, settings.seed), settings) for train, _ in folds]
            if sum(_reaches(model, months) for model in models) < LEAST_FOLDS:
                continue
            return pl.concat(
                _residuals(model, test, months).with_columns(fold=pl.lit(place, dtype=pl.Int32))
                for place, (model, (_, test)) in enumerate(zip(models, folds, strict=True))
                if _reaches(model, months)
            )
    raise TrainingError(
        f"the vintages do not allow {LEAST_FOLDS} walk-forward folds with {MIN_OUTCOMES} known"
        f" outcomes before and {_LEAST_FOLD_LOANS} after; bring older vintages or a longer ledger"
    )


def _reaches(model: RecoveryModel, months: int | None) -> bool:
    return months is None or months in model.horizons_months


def expanding_folds(
    data: TrainingSet,
    months: int | None,
    *,
    starts: Sequence[date] | None = None,
    edges: Sequence[float] = FOLD_EDGES,
    hindsight: bool = False,
    gap_months: int = 0,
) -> list[Fold]:
    """Pairs of earlier vintages, as they were known then, and the next block of vintages.

    Parameters
    ----------
    data : TrainingSet
        Training loans.
    months : int, optional
        Horizon at which the blocks are judged; None is the ultimate.
    starts : sequence of datetime.date, optional
        First vintages of the blocks, rising; the last block runs to the end.
    edges : sequence of float
        Where no `starts` are given: shares of the loans, in vintage order, between which the blocks
        lie.
    hindsight : bool
        Fit on outcomes of the earlier vintages that came to be known later too.
    gap_months : int
        Vintages of so many months before a block are in neither side of its fold.

    Returns
    -------
    list of (TrainingSet, TrainingSet)
        Folds with enough known outcomes on both sides, in time order.
    """
    usable = data.rows(watched_to(data, months) & data.outcomes["vintage_date"].is_not_null())
    vintage = usable.outcomes["vintage_date"]
    if vintage.is_empty():
        return []
    shares = [vintage.quantile(share, interpolation="higher") for share in edges[:-1]]
    folds = []
    for start, end in pairwise([*(starts or shares), None]):
        block = usable.rows(
            vintage >= start if end is None else vintage.is_between(start, end, "left")
        )
        if block.features.height < _LEAST_FOLD_LOANS:
            continue
        before = pl.Series([start]).dt.offset_by(f"-{gap_months}mo")[0]
        train = data.rows(data.outcomes["vintage_date"] < before)
        if not hindsight:
            train = _as_known_on(train, block.outcomes[CUT_OFF].min())
        seen = int(watched_to(train, months).sum())
        if known_outcomes(train) >= MIN_OUTCOMES and (
            data.meta.recovery_timing == "resolution" or seen >= MIN_OUTCOMES
        ):
            folds.append((train, block))
    return folds


def watched_to(data: TrainingSet, months: int | None) -> pl.Series:
    """Loans whose rate at a horizon is known whether they closed early or not."""
    if months is None:
        return data.outcomes[ULTIMATE].is_not_null()
    return data.outcomes["observed_months"] >= months


def _as_known_on(data: TrainingSet, day: object) -> TrainingSet:
    """The same loans with their dated outcomes cut back to an earlier day."""
    meta = data.meta
    if meta.recovery_timing == "none" or not isinstance(day, date):
        return data
    # As in features.targets: a month is watched when it is over and its cash is booked.
    over = month_number(pl.lit(day + timedelta(days=1))) - 1 - month_number(pl.col(CUT_OFF))
    booked = over - meta.reporting_lag_months
    cut = data.outcomes.with_columns(
        observed_months=pl.min_horizontal("observed_months", pl.max_horizontal(booked, 0)).cast(
            data.outcomes["observed_months"].dtype
        ),
        closed_months=pl.when(pl.col("closed_months") <= booked).then("closed_months"),
    )
    closed = pl.col("closed_months").is_not_null()
    resolved = closed
    if meta.max_workout_months is not None:
        resolved = closed | (pl.col("observed_months") >= meta.max_workout_months)
    known = [
        pl.when((pl.col("observed_months") >= months) | closed)
        .then(rate_column(months))
        .alias(rate_column(months))
        for months in HORIZONS_MONTHS
    ]
    known.append(pl.when(resolved).then(ULTIMATE).alias(ULTIMATE))
    outcomes = cut.with_columns(*known, is_resolved=resolved)
    return TrainingSet(meta, data.spec, data.features, outcomes)


def sampled(data: TrainingSet, seed: int, most: int = MOST_TRAINING_LOANS) -> TrainingSet:
    """Return at most so many of the loans, the same whatever the order of the tape."""
    count = data.features.height
    if count <= most:
        return data
    keep = np.zeros(count, dtype=bool)
    keep[np.random.default_rng(seed).choice(count, most, replace=False)] = True
    return data.by_loan().rows(pl.Series(keep))


def _residuals(model: RecoveryModel, test: TrainingSet, months: int | None) -> pl.DataFrame:
    forecast = (
        model.recovery_rate(test.features)
        if months is None
        else model.recovery_rate_at(test.features, months)
    )
    labels = package_labels(test)
    return pl.DataFrame(
        {
            "loan_id": test.features["loan_id"],
            "vintage_date": test.outcomes["vintage_date"],
            "region": labels["region"],
            "asset_class": labels["asset_class"],
            "ead": test.outcomes[EAD],
            "forecast_rate": forecast,
            "realised_rate": test.outcomes[ULTIMATE if months is None else rate_column(months)],
        }
    ).with_columns(horizon_months=pl.lit(months, dtype=pl.Int32))


def package_labels(data: TrainingSet) -> pl.DataFrame:
    """Return `region` and `asset_class` of each loan, empty where unknown."""

    def first_known(names: Sequence[str]) -> pl.Expr:
        present = [pl.col(name).cast(pl.String) for name in names if name in data.spec.names]
        return pl.coalesce(*present, pl.lit(""))

    return data.features.select(
        "loan_id",
        region=first_known(("region", "collateral_region")),
        asset_class=first_known(("asset_class",)),
    ).drop("loan_id")
