"""Out-of-time comparison: the model beside every baseline, on vintages none of them has seen."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.exposure import EAD
from features.horizons import HORIZONS_MONTHS, rate_column
from features.targets import ULTIMATE
from models import baselines
from models.chain_ladder import age_to_age_factors, developed
from models.linear import code_columns, design_matrix
from models.link import rate_of
from models.recovery import RecoveryModel
from training.dataset import TrainingSet
from training.errors import TrainingError
from training.linear_fit import evidence_ridge, fit_linear
from training.metrics import Accuracy, accuracy

Array = NDArray[np.float64]
OURS: Final = "npl-recovery"


@dataclass(frozen=True)
class Judged:
    """One forecast's accuracy on the held-out loans.

    Attributes
    ----------
    name : str
        Model or baseline.
    forecast : array, shape (loans,)
        Forecast rates.
    accuracy : Accuracy
        Its figures.
    """

    name: str
    forecast: Array
    accuracy: Accuracy


def fractional_logit(loans: baselines.LabelledLoans) -> baselines.Forecast:
    """Fractional logit on all features, with the ridge that the evidence asks for."""
    columns = code_columns(loans.features, loans.spec)
    # The logit knows only [0, 1]; a baseline may pay for that.
    rate = np.clip(loans.rate, 0.0, 1.0)
    design = design_matrix(loans.features, columns)
    weight = np.ones(len(rate))
    ridge = evidence_ridge(design, rate, weight)
    linear = fit_linear(columns, design, rate, weight, "logit", ridge)
    return lambda features: rate_of(linear.score(features), "logit")


Rival = Callable[[baselines.LabelledLoans], baselines.Forecast]
RIVALS: Final[dict[str, Rival]] = {
    "overall mean": baselines.overall_mean,
    "segment mean": baselines.segment_mean,
    "age curve": baselines.age_curve,
    "fractional logit": fractional_logit,
    "random forest": baselines.random_forest,
    "LightGBM, defaults": baselines.default_lightgbm,
}


def held_out(test: TrainingSet, horizon_months: int | None) -> tuple[TrainingSet, Array]:
    """Held-out loans whose rate is known, and that rate.

    Raises
    ------
    TrainingError
        When fewer than two rates are known.
    """
    column = label_column(horizon_months)
    watched = test.outcomes[column].is_not_null()
    if horizon_months is not None:
        # Workouts that closed early are known before their open peers: they do not stand for them.
        watched &= test.outcomes["observed_months"] >= horizon_months
    known = test.rows(watched)
    if known.outcomes.height < 2:
        raise TrainingError(
            f"{known.outcomes.height} loans on one side of the split have a known {column};"
            " move the split"
        )
    return known, known.outcomes[column].to_numpy()


def label_column(horizon_months: int | None) -> str:
    """Column of the realised rate at a horizon; None is the ultimate."""
    return ULTIMATE if horizon_months is None else rate_column(horizon_months)


def compare(
    model: RecoveryModel,
    train: TrainingSet,
    test: TrainingSet,
    horizon_months: int | None = None,
    rivals: Mapping[str, Rival] = RIVALS,
) -> list[Judged]:
    """Accuracy of the model and of every baseline on held-out loans.

    Parameters
    ----------
    model : RecoveryModel
        Fitted on `train`.
    train : TrainingSet
        What was known at the time; baselines are fitted on its known rates.
    test : TrainingSet
        Later vintages.
    horizon_months : int, optional
        Judge the cumulative rate at this horizon; by default the ultimate.
    rivals : mapping of str to callable
        Baselines by name; by default all.

    Returns
    -------
    list of Judged
        The model first, then the baselines.

    Raises
    ------
    TrainingError
        When too few rates are known on either side.
    """
    judged, actual = held_out(test, horizon_months)
    seen, rate = held_out(train, horizon_months)
    labelled = baselines.LabelledLoans(train.spec, seen.features, rate)
    ours = (
        model.recovery_rate(judged.features)
        if horizon_months is None
        else model.recovery_rate_at(judged.features, horizon_months)
    )
    forecasts = {OURS: ours}
    for name, fit in rivals.items():
        forecasts[name] = fit(labelled)(judged.features)
    if horizon_months is not None and train.meta.recovery_timing == "monthly":
        # A ledger too short for a triangle has no chain-ladder to be compared with.
        with suppress(ValueError):
            forecasts["chain-ladder"] = _chain_ladder(train, judged, horizon_months)
    return [
        Judged(name, values, accuracy(actual, values, judged.ead))
        for name, values in forecasts.items()
    ]


def _chain_ladder(train: TrainingSet, test: TrainingSet, horizon_months: int) -> Array:
    """Developed vintage rates by asset class, the mean of the training vintages for a new one.

    A class too thin to be developed takes the rate of all classes together.
    """
    horizons = [h for h in HORIZONS_MONTHS if h <= horizon_months]
    segments = _segments(train)
    overall = _developed_rate(train, horizons)
    rates = {}
    for segment in segments.unique(maintain_order=True):
        with suppress(ValueError):
            rates[segment] = _developed_rate(train.rows(segments == segment), horizons)
    return np.array([rates.get(segment, overall) for segment in _segments(test)])


def _segments(data: TrainingSet) -> pl.Series:
    if "asset_class" in data.spec.names:
        return data.features["asset_class"].cast(pl.String).fill_null("")
    return pl.Series("asset_class", [""] * data.features.height)


def _developed_rate(data: TrainingSet, horizons: list[int]) -> float:
    """EAD-weighted developed rate over half-year vintages at the last horizon."""
    vintage = data.outcomes["vintage_date"]
    # A vintage is observed at a horizon only when all of its loans are.
    table = (
        data.outcomes.group_by((vintage.dt.year() * 2 + (vintage.dt.month() > 6)).alias("half"))
        .agg(
            pl.col(EAD).sum(),
            *(
                pl.when(pl.col(rate_column(h)).is_not_null().all())
                .then((pl.col(rate_column(h)) * pl.col(EAD)).sum())
                .alias(rate_column(h))
                for h in horizons
            ),
        )
        .sort("half")
    )
    triangle = table.select(rate_column(h) for h in horizons).to_numpy()
    begun = ~np.isnan(triangle[:, 0])
    if not begun.any():
        raise ValueError("no vintage has been watched to the first horizon")
    full = developed(triangle[begun], age_to_age_factors(triangle[begun]))
    return float(full[:, -1].sum() / table[EAD].to_numpy()[begun].sum())
