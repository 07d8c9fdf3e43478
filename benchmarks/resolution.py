"""When single-payment workouts resolve: the hazard against Kaplan-Meier on later defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.horizons import rate_column
from features.portfolio import Portfolio
from models.recovery import RecoveryModel
from models.resolution import ResolutionModel
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.fit import fit_recovery
from training.holdout import hold_out
from training.selection import choose
from training.survival import share_resolved
from training.survival_metrics import harrell_concordance, integrated_brier

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Period 36 is put on the first quarter of 2009, a period on a quarter.
STARTS: Final = {
    30: date(2007, 7, 1),
    33: date(2008, 4, 1),
    36: date(2009, 1, 1),
}
_HORIZONS: Final = (12, 24, 36)


@dataclass(frozen=True)
class Watched:
    """How long workouts took, or were watched for."""

    durations: Array
    resolved: Flags

    @classmethod
    def of(cls, data: TrainingSet) -> "Watched":
        """Durations of a training set's workouts, as it knows them."""
        watched = data.outcomes["observed_months"].cast(pl.Float64)
        closed = data.outcomes["closed_months"].cast(pl.Float64)
        return cls(closed.fill_null(watched).to_numpy(), closed.is_not_null().to_numpy())


def resolution_section(portfolios: Mapping[str, Portfolio]) -> str:
    """Text of the section on the mortgages' time to resolution."""
    portfolio = portfolios["us_mortgage"]
    lines = [
        "## When mortgages resolve\n",
        "Months to resolution of defaults from a period on, open cases censored at the last"
        " period. Concordance (Harrell) of the hazard's ranking: a half says nothing, and"
        " Kaplan-Meier ranks nobody. Integrated Brier score of the share resolved, with censoring"
        " weighted out; lower is better. As known: trained on what was known when the period"
        " began.\n",
        "| defaults from | trained | loans | concordance | integrated Brier | Kaplan-Meier |"
        " months |\n|---|---|---:|---:|---:|---:|---:|",
    ]
    calibrated: list[str] = []
    for period, start in STARTS.items():
        for hindsight in (False, True):
            known = "hindsight" if hindsight else "as known"
            try:
                split = hold_out(portfolio, start, hindsight=hindsight)
                model = fit_recovery(split.train, choose(split.train).settings)
            except TrainingError as error:
                lines.append(f"| {period} | {known} | not fitted: {error} | | | | |")
                continue
            lines.append(_row(f"period {period}", known, model, split.train, split.test))
            if period == max(STARTS):
                calibrated += _calibration(known, model, split.test)
    return "\n".join([*lines, "", *calibrated])


def _row(name: str, known: str, model: RecoveryModel, train: TrainingSet, test: TrainingSet) -> str:
    timing = model.timing
    assert isinstance(timing, ResolutionModel)
    seen, late = Watched.of(train), Watched.of(test)
    last = min(timing.interval_ends_months[-1], 36, int(np.quantile(late.durations, 0.9)))
    months = np.arange(3, last + 1, 3)
    ours = timing.share_resolved(test.features, months.tolist())
    pooled = share_resolved(seen.durations, seen.resolved, months.astype(np.float64))
    everyone = np.tile(pooled, (len(late.durations), 1))
    at = months.astype(np.float64)
    concordance = harrell_concordance(
        late.durations, late.resolved, timing.effects.score(test.features)
    )
    scores = [
        integrated_brier(late.durations, late.resolved, shares, at) for shares in (ours, everyone)
    ]
    return (
        f"| {name} | {known} | {len(late.durations)} | {concordance:.3f} | {scores[0]:.4f} |"
        f" {scores[1]:.4f} | 3-{last} |"
    )


def _calibration(known: str, model: RecoveryModel, test: TrainingSet) -> list[str]:
    """Cumulative rate by month and period of default, over cases watched that long."""
    curve = model.recovery_curve(test.features)
    lines = [
        f"### The curve by period of default, {known}\n",
        "Mean cumulative net rate by month, forecast and actual, over defaults watched that long,"
        " open ones with what they have brought by then: nothing.\n",
        "| default in | month | loans | forecast | actual | standard error |\n"
        "|---|---|---:|---:|---:|---:|",
    ]
    quarter = test.outcomes["vintage_date"].dt.strftime("%Y-%m")
    for name in quarter.unique().sort():
        for months in _HORIZONS:
            watched = test.outcomes["observed_months"] >= months
            rows = ((quarter == name) & watched).to_numpy()
            if months not in model.horizons_months or rows.sum() < 20:
                continue
            forecast = curve[rows, model.horizons_months.index(months)]
            actual = test.outcomes[rate_column(months)].to_numpy()[rows]
            error = float(np.std(actual - forecast, ddof=1)) / np.sqrt(rows.sum())
            lines.append(
                f"| {name} | {months} | {rows.sum()} | {forecast.mean():.3f} |"
                f" {actual.mean():.3f} | {error:.3f} |"
            )
    return [*lines, ""]
