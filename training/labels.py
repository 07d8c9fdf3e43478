"""Labels for fitting: which loans count, what came of them, with what weight, and by when."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.horizons import HORIZONS_MONTHS, rate_column
from features.targets import ULTIMATE
from models.linear import code_columns, design_matrix
from models.link import Link
from models.recovery import Timing
from training.dataset import TrainingSet
from training.development_fit import fit_development
from training.errors import TrainingError
from training.resolution_fit import fit_resolution
from training.survival import complete_open

Array = NDArray[np.float64]
# Fewer known outcomes than this say nothing that a mean would not.
MIN_OUTCOMES: Final = 100
# Where clipping to [0, 1] would move rates by more than this on average, the logit is not used.
_LARGEST_MEAN_CLIP: Final = 0.005


@dataclass(frozen=True)
class Labels:
    """Loans to fit on.

    Attributes
    ----------
    features : polars.DataFrame
        Their features.
    rate : array, shape (loans,)
        Rates, unclipped: at the last horizon the loan was watched for where cash is dated, expected
        ones for open single-payment workouts, else the outcome.
    share : array, shape (loans,)
        Share of the ultimate due in `rate`, 0 to 1; 1 where the rate is of the ultimate itself.
    weight : array, shape (loans,)
        Weights, mean 1.
    timing : DevelopmentPattern or ResolutionModel, optional
        When the ultimate comes; None where outcomes are undated.
    """

    features: pl.DataFrame
    rate: Array
    share: Array
    weight: Array
    timing: Timing | None = None

    @property
    def link(self) -> Link:
        """Logit where the rates are fractions, identity where they leave [0, 1] by much.

        Single payments take the identity always: the expected rates of open workouts stand beside
        realised ones, and both are sums on the scale of the rate.
        """
        if self.timing is not None and self.timing.kind == "resolution":
            return "identity"
        clipped = float(np.mean(np.abs(self.rate - np.clip(self.rate, 0.0, 1.0))))
        return "identity" if clipped > _LARGEST_MEAN_CLIP else "logit"


def labels_of(data: TrainingSet, half_life_years: float) -> Labels:
    """Loans to fit on, by the timing of the portfolio's recoveries.

    Parameters
    ----------
    data : TrainingSet
        Training loans.
    half_life_years : float
        A vintage this much older than the newest weighs half.

    Raises
    ------
    TrainingError
        When fewer than `MIN_OUTCOMES` outcomes are known, or the timing cannot be fitted.
    """
    outcomes = known_outcomes(data)
    if outcomes < MIN_OUTCOMES:
        raise TrainingError(
            f"{outcomes} loans have a known outcome, {MIN_OUTCOMES} are needed;"
            " bring a longer ledger or more loans"
        )
    makers = {"monthly": _watched_labels, "resolution": _resolution_labels, "none": _known_labels}
    return makers[data.meta.recovery_timing](data, _recency(data, half_life_years))


def known_outcomes(data: TrainingSet) -> int:
    """Loans that count as known: watched to the first horizon, or resolved."""
    if data.meta.recovery_timing == "monthly":
        return int((data.outcomes["observed_months"] >= HORIZONS_MONTHS[0]).sum())
    return int(data.outcomes[ULTIMATE].count())


def _recency(data: TrainingSet, half_life_years: float) -> Array:
    # A loan without a vintage date weighs as the oldest.
    days = data.outcomes["vintage_date"].cast(pl.Int32).fill_null(strategy="min").to_numpy()
    years = (days.max() - days) / 365.2425
    return np.asarray(0.5 ** (years / half_life_years))


def _known_labels(data: TrainingSet, recency: Array) -> Labels:
    known = data.outcomes[ULTIMATE].is_not_null()
    rate = data.outcomes[ULTIMATE].drop_nulls().to_numpy()
    weight = recency[known.to_numpy()]
    return Labels(data.features.filter(known), rate, np.ones(len(rate)), weight / weight.mean())


def _resolution_labels(data: TrainingSet, recency: Array) -> Labels:
    """Open workouts stand with what they are expected to bring, given how long they are open."""
    rate, certainty = resolved_or_expected(data)
    resolved = data.outcomes["is_resolved"].to_numpy()
    watched = data.outcomes["observed_months"].cast(pl.Float64)
    counted = certainty > 1e-6
    weight = (certainty * recency)[counted]
    return Labels(
        features=data.features.filter(pl.Series(counted)),
        rate=rate[counted],
        share=np.ones(len(weight)),
        weight=weight / weight.mean(),
        timing=fit_resolution(
            data.features, data.spec, _durations(data), resolved, watched.to_numpy()
        ),
    )


def resolved_or_expected(data: TrainingSet) -> tuple[Array, Array]:
    """Rates of single-payment workouts, open ones with what they are expected to bring.

    Returns
    -------
    rate, certainty : array, shape (loans,)
        See `training.survival.complete_open`.
    """
    resolved = data.outcomes["is_resolved"].to_numpy()
    rates = data.outcomes[ULTIMATE].fill_null(0.0).to_numpy()
    design = design_matrix(data.features, code_columns(data.features, data.spec))
    return complete_open(design, rates, _durations(data), resolved)


def _durations(data: TrainingSet) -> Array:
    """Months to resolution, or months watched where still open."""
    watched = data.outcomes["observed_months"].cast(pl.Float64)
    return data.outcomes["closed_months"].cast(pl.Float64).fill_null(watched).to_numpy()


def _watched_labels(data: TrainingSet, recency: Array) -> Labels:
    """Each loan once, at the last horizon it was watched for, open or closed.

    A workout closed early is known at every horizon, its open peers are not: counting it before
    they are watched as long would teach the rates of quick workouts.
    """
    horizons = _watched_horizons(data)
    reached = data.outcomes["observed_months"] >= horizons[0]
    seen = data.rows(reached)
    watched = seen.outcomes["observed_months"].to_numpy()
    rates = seen.outcomes.select(rate_column(months) for months in horizons).to_numpy()
    timing = fit_development(seen.features, rates, watched, horizons)
    loans, last = np.arange(len(watched)), np.searchsorted(horizons, watched, side="right") - 1
    weight = recency[reached.to_numpy()]
    return Labels(
        features=seen.features,
        rate=rates[loans, last],
        share=timing.shares(seen.features)[loans, last],
        weight=weight / weight.mean(),
        timing=timing,
    )


def _watched_horizons(data: TrainingSet) -> tuple[int, ...]:
    """Horizons up to the longest workout that enough loans were watched for."""
    limit = data.meta.max_workout_months
    if limit not in HORIZONS_MONTHS:
        raise TrainingError(
            f"max_workout_months is {limit}; dated cash flows need it to be one of"
            f" {', '.join(map(str, HORIZONS_MONTHS))} in portfolio.toml"
        )
    watched = data.outcomes["observed_months"]
    return tuple(
        months
        for months in HORIZONS_MONTHS
        if months <= limit and (watched >= months).sum() >= MIN_OUTCOMES
    )
