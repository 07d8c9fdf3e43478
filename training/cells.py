"""Labels for fitting: which loans count, at which horizons, with what weight."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.horizons import HORIZONS_MONTHS, rate_column
from features.targets import ULTIMATE
from models.linear import code_columns, design_matrix
from models.link import Link
from models.recovery import HORIZON
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.survival import complete_open, share_resolved

Array = NDArray[np.float64]
# Fewer known outcomes than this say nothing that a mean would not.
MIN_OUTCOMES: Final = 100
# Where clipping to [0, 1] would move rates by more than this on average, the logit is not used.
_LARGEST_MEAN_CLIP: Final = 0.005


@dataclass(frozen=True)
class Cells:
    """Rows to fit on.

    Attributes
    ----------
    frame : polars.DataFrame
        Features, and `horizon_months` where cash is dated.
    names : list of str
        Input columns of the model.
    rate : array, shape (rows,)
        Rates, unclipped; expected ones for open single-payment workouts.
    weight : array, shape (rows,)
        Row weights, mean 1.
    horizons_months : tuple of int
        Horizons of the curve.
    ultimate_months : int, optional
        Horizon that is the ultimate, where cash is dated.
    resolved_shares : tuple of float
        Share resolved by each horizon, for single payments.
    """

    frame: pl.DataFrame
    names: list[str]
    rate: Array
    weight: Array
    horizons_months: tuple[int, ...] = ()
    ultimate_months: int | None = None
    resolved_shares: tuple[float, ...] = ()

    @property
    def link(self) -> Link:
        """Logit where the rates are fractions, identity where they leave [0, 1] by much.

        Single payments take the identity always: the expected rates of open workouts stand beside
        realised ones, and both are sums on the scale of the rate.
        """
        if self.resolved_shares:
            return "identity"
        clipped = float(np.mean(np.abs(self.rate - np.clip(self.rate, 0.0, 1.0))))
        return "identity" if clipped > _LARGEST_MEAN_CLIP else "logit"


def labelled_cells(data: TrainingSet, half_life_years: float) -> Cells:
    """Rows to fit on, by the timing of the portfolio's recoveries.

    Dated cash flows give a row for every loan and horizon it was watched for, open or closed;
    single payments a row for every loan, open ones with what they are expected to bring; undated
    outcomes a row for every known one.

    Parameters
    ----------
    data : TrainingSet
        Training loans.
    half_life_years : float
        A vintage this much older than the newest weighs half.

    Raises
    ------
    TrainingError
        When fewer than `MIN_OUTCOMES` outcomes are known.
    """
    _refuse_too_few(data)
    makers = {"monthly": _horizon_cells, "resolution": _resolution_cells, "none": _undated_cells}
    cells = makers[data.meta.recovery_timing](data, _recency(data, half_life_years))
    return replace(cells, weight=cells.weight / cells.weight.mean())


def known_outcomes(data: TrainingSet) -> int:
    """Loans that `labelled_cells` counts as known: watched to the first horizon, or resolved."""
    if data.meta.recovery_timing == "monthly":
        return int((data.outcomes["observed_months"] >= HORIZONS_MONTHS[0]).sum())
    return int(data.outcomes[ULTIMATE].count())


def _recency(data: TrainingSet, half_life_years: float) -> Array:
    # A loan without a vintage date weighs as the oldest.
    days = data.outcomes["vintage_date"].cast(pl.Int32).fill_null(strategy="min").to_numpy()
    years = (days.max() - days) / 365.2425
    return np.asarray(0.5 ** (years / half_life_years))


def _refuse_too_few(data: TrainingSet) -> None:
    outcomes = known_outcomes(data)
    if outcomes < MIN_OUTCOMES:
        raise TrainingError(
            f"{outcomes} loans have a known outcome, {MIN_OUTCOMES} are needed;"
            " bring a longer ledger or more loans"
        )


def _undated_cells(data: TrainingSet, recency: Array) -> Cells:
    known = data.outcomes[ULTIMATE].is_not_null()
    return Cells(
        frame=data.features.filter(known),
        names=data.spec.names,
        rate=data.outcomes[ULTIMATE].drop_nulls().to_numpy(),
        weight=recency[known.to_numpy()],
    )


def _resolution_cells(data: TrainingSet, recency: Array) -> Cells:
    outcomes = data.outcomes
    resolved = outcomes["is_resolved"].to_numpy()
    watched = outcomes["observed_months"].cast(pl.Float64).to_numpy()
    durations = outcomes["closed_months"].cast(pl.Float64).fill_null(pl.Series(watched)).to_numpy()
    rates = outcomes[ULTIMATE].fill_null(0.0).to_numpy()
    design = design_matrix(data.features, code_columns(data.features, data.spec))
    labels, weights = complete_open(design, rates, durations, resolved)
    counted = weights > 1e-6
    horizons = tuple(months for months in HORIZONS_MONTHS if months <= watched.max())
    shares = share_resolved(durations, resolved, np.asarray(horizons, dtype=np.float64))
    return Cells(
        frame=data.features.filter(pl.Series(counted)),
        names=data.spec.names,
        rate=labels[counted],
        weight=(weights * recency)[counted],
        horizons_months=horizons,
        resolved_shares=tuple(float(share) for share in shares),
    )


def _horizon_cells(data: TrainingSet, recency: Array) -> Cells:
    limit = data.meta.max_workout_months
    if limit not in HORIZONS_MONTHS:
        raise TrainingError(
            f"max_workout_months is {limit}; dated cash flows need it to be one of"
            f" {', '.join(map(str, HORIZONS_MONTHS))} in portfolio.toml"
        )
    parts, rates, weights, horizons = [], [], [], []
    for months in HORIZONS_MONTHS:
        # A workout closed early is known at every horizon, its open peers are not: counting it
        # before they are watched as long would teach the rates of quick workouts.
        watched = data.outcomes["observed_months"] >= months
        if months > limit or watched.sum() < MIN_OUTCOMES:
            break
        parts.append(
            data.features.filter(watched).with_columns(pl.lit(float(months)).alias(HORIZON))
        )
        rates.append(data.outcomes[rate_column(months)].filter(watched).to_numpy())
        weights.append(recency[watched.to_numpy()])
        horizons.append(months)
    return Cells(
        frame=pl.concat(parts),
        names=[*data.spec.names, HORIZON],
        rate=np.concatenate(rates),
        weight=np.concatenate(weights),
        horizons_months=tuple(horizons),
        ultimate_months=horizons[-1],
    )
