"""What a trial of the search is judged by: expanding folds with a gap, and one loss over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.horizons import HORIZONS_MONTHS
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.evaluation import label_column
from training.fit import fit_recovery
from training.labels import labels_of
from training.settings import FitSettings
from training.walk_forward import expanding_folds, sampled, watched_to

Array = NDArray[np.float64]
# Four blocks over the newer three fifths of the loans, in vintage order.
_EDGES: Final = tuple(float(edge) for edge in np.linspace(0.4, 1.0, 5))
LEAST_FOLDS: Final = 3
# Neighbouring vintages share their shocks: a quarter at least lies between the sides of a fold.
_LEAST_GAP_MONTHS: Final = 3


@dataclass(frozen=True)
class TrialFolds:
    """Folds that every trial is judged on.

    Attributes
    ----------
    folds : tuple of (TrainingSet, TrainingSet)
        Earlier vintages as they were known on the block's first cut-off, and the block.
    horizon_months : int, optional
        Horizon at which forecasts are judged; None is the ultimate.
    gap_months : int
        Months of vintages between the two sides.
    """

    folds: tuple[tuple[TrainingSet, TrainingSet], ...]
    horizon_months: int | None
    gap_months: int

    def before(self, fold: int) -> TrainingSet:
        """Earlier side of a fold."""
        return self.folds[fold][0]

    def __len__(self) -> int:
        """Return the number of folds."""
        return len(self.folds)


def trial_folds(data: TrainingSet) -> TrialFolds:
    """Expanding out-of-time folds inside the training vintages, with a gap.

    The gap is a quarter, or the reporting lag where that is longer. Dated outcomes are judged at
    the longest horizon that leaves `LEAST_FOLDS` folds, and are known as on each fold's own first
    cut-off; undated ones cannot be put back in time: there the vintages alone divide the sides.

    Raises
    ------
    TrainingError
        When the vintages are too few or too young.
    """
    gap = max(_LEAST_GAP_MONTHS, data.meta.reporting_lag_months)
    dated = data.meta.recovery_timing != "none"
    for months in HORIZONS_MONTHS[::-1] if dated else (None,):
        pairs = [
            (sampled(train, FitSettings().seed), test.by_loan())
            for train, test in expanding_folds(data, months, edges=_EDGES, gap_months=gap)
        ]
        folds = tuple(pair for pair in pairs if _reaches(pair[0], months))
        if len(folds) >= LEAST_FOLDS:
            return TrialFolds(folds, months, gap)
    raise TrainingError(
        f"the vintages do not allow {LEAST_FOLDS} folds to search on, {gap} months apart from what"
        " they are trained on; bring older vintages or a longer ledger, or train untuned"
    )


def _reaches(train: TrainingSet, months: int | None) -> bool:
    timing = labels_of(train, FitSettings().half_life_years).timing
    return months is None or (timing is not None and months in timing.horizons_months)


@dataclass(frozen=True)
class FoldForecast:
    """Forecasts of one block by a model of the vintages before it.

    Attributes
    ----------
    actual, forecast, ead : array, shape (loans,)
        Realised and forecast rates at the horizon, exposures in currency.
    quarter : array of int, shape (loans,)
        Calendar quarter of the vintage, counted from the year 0.
    of_mean : float
        Squared error, summed, of the earlier vintages' mean.
    """

    actual: Array
    forecast: Array
    ead: Array
    quarter: NDArray[np.int64]
    of_mean: float

    @property
    def loss(self) -> "FoldLoss":
        """What the total loss needs of this fold."""
        error = self.actual - self.forecast
        return FoldLoss(
            loans=len(error),
            squared=float(error @ error),
            of_mean=self.of_mean,
            deviation=float(error @ self.ead / (self.forecast @ self.ead)),
        )


@dataclass(frozen=True)
class FoldLoss:
    """Sums of one fold: squared error of the forecast and of the mean, and money deviation.

    Attributes
    ----------
    loans : int
        Loans judged.
    squared, of_mean : float
        Squared errors, summed.
    deviation : float
        (actual - forecast) / forecast cash, by EAD.
    """

    loans: int
    squared: float
    of_mean: float
    deviation: float

    def as_row(self) -> Mapping[str, float]:
        """Return the sums as plain values."""
        return {
            "loans": self.loans,
            "squared": self.squared,
            "of_mean": self.of_mean,
            "deviation": self.deviation,
        }


def total_loss(folds: Sequence[FoldLoss]) -> float:
    """Loss over some folds: relative squared error plus the mean squared money deviation.

    The first term is 1 - R2 against the mean of the earlier vintages, loan by loan. The second is
    what a buyer pays for: a package's cash, by exposure. Squared, it weighs little where a forecast
    is near (2%: 0.0004) and more than any gain in R2 where it is far (20%: 0.04), so that no
    ranking is bought with a wrong level, and the noise of few large loans does not choose.

    Examples
    --------
    >>> total_loss([FoldLoss(10, 3.0, 4.0, 0.1), FoldLoss(10, 5.0, 6.0, -0.1)])
    0.81
    """
    squared = sum(fold.squared for fold in folds) / sum(fold.of_mean for fold in folds)
    return squared + sum(fold.deviation**2 for fold in folds) / len(folds)


def forecast_fold(folds: TrialFolds, place: int, settings: FitSettings) -> FoldForecast:
    """Fit on the earlier side of a fold and forecast its block."""
    train, test = folds.folds[place]
    return forecast_block(fit_on=train, block=test, months=folds.horizon_months, settings=settings)


def forecast_block(
    fit_on: TrainingSet, block: TrainingSet, months: int | None, settings: FitSettings
) -> FoldForecast:
    """Fit on earlier vintages and forecast a later block at a horizon."""
    model = fit_recovery(fit_on, settings)
    column = label_column(months)
    actual = block.outcomes[column].to_numpy()
    forecast = (
        model.recovery_rate(block.features)
        if months is None
        else model.recovery_rate_at(block.features, months)
    )
    known = fit_on.rows(watched_to(fit_on, months)).outcomes[column]
    # Of workouts that end once, few may be watched that long: then the closed ones tell the mean.
    mean = float((known if len(known) else fit_on.outcomes[column].drop_nulls()).to_numpy().mean())
    vintage = block.outcomes["vintage_date"].dt
    return FoldForecast(
        actual=actual,
        forecast=forecast,
        ead=block.ead,
        quarter=(vintage.year().cast(pl.Int64) * 4 + vintage.quarter()).to_numpy(),
        of_mean=float(np.sum((actual - mean) ** 2)),
    )


@dataclass(frozen=True)
class LossGain:
    """How much smaller one loss is than another on the same folds.

    Attributes
    ----------
    gain : float
        Above 0: the second is better.
    standard_error : float
        Its noise: each loan's own share in the two losses, to first order, is subtracted before the
        spread is taken (paired), between loans or between quarters of vintages, whichever is
        larger. Loans of a quarter miss together.
    quarters : int
        Quarters of vintages: so many observations there are, however many the loans.
    """

    gain: float
    standard_error: float
    quarters: int

    @property
    def beyond_noise(self) -> bool:
        """Whether the gain is beyond Student's t at 97.5%, with a quarter as one observation.

        With many quarters that is two standard errors; with three it is 4.3.
        """
        if self.quarters < 2:
            return False
        return self.gain > float(stats.t.ppf(0.975, self.quarters - 1)) * self.standard_error


def loss_gain(first: Sequence[FoldForecast], second: Sequence[FoldForecast]) -> LossGain:
    """Gain in `total_loss` of the second forecasts over the first, on the same folds."""
    gain = total_loss([fold.loss for fold in first]) - total_loss([fold.loss for fold in second])
    whole = sum(fold.of_mean for fold in first)
    count = len(first)
    share = np.concatenate(
        [
            _influence(one, whole, count) - _influence(two, whole, count)
            for one, two in zip(first, second, strict=True)
        ]
    )
    share -= share.mean()
    quarters, quarter = np.unique(
        np.concatenate([one.quarter for one in first]), return_inverse=True
    )
    by_quarter = np.asarray(np.bincount(quarter, weights=share), dtype=np.float64)
    return LossGain(gain, max(_spread(share), _spread(by_quarter)), len(quarters))


def _spread(shares: Array) -> float:
    """Standard error of a sum of independent shares with mean 0."""
    count = len(shares)
    return float(np.sqrt(np.sum(shares**2) * count / (count - 1))) if count > 1 else 0.0


def _influence(fold: FoldForecast, whole: float, folds: int) -> Array:
    """First-order share of each loan in the total loss (the delta method)."""
    error = fold.actual - fold.forecast
    cash = float(fold.forecast @ fold.ead)
    deviation = float(error @ fold.ead) / cash
    of_money = fold.ead * (error - deviation * fold.forecast) / cash
    return np.asarray(error**2 / whole + 2 * deviation * of_money / folds)
