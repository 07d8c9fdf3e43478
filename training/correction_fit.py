"""Corrections fitted on the past: credibility-weighted factors of the segments that deviate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.segments import DIMENSIONS
from models.correction import Evidence, Proposal
from training.backtest_schema import with_age_band
from training.errors import TrainingError
from training.validation.bootstrap import sums_interval
from training.validation.deviation import deviation_test
from training.validation.multiple import FALSE_FLAG_RATE, holm
from training.validation.thin import LEAST_CLUSTERS, too_few

Array = NDArray[np.float64]
_PERIOD: Final = "1q"


@dataclass(frozen=True)
class Credibility:
    """Estimates of the Buehlmann-Straub model.

    Attributes
    ----------
    collective : float
        Mean that segments are drawn to.
    within : float
        s^2: variance of a segment's ratios over its periods, times their weight.
    between : float
        a: variance of the segments' own means; 0 where they differ by no more than chance.
    means, weights : array, shape (segments,)
        Weighted mean ratio and total weight of each segment.
    factors : array, shape (segments,)
        Credibility z of each segment's own mean.
    estimates : array, shape (segments,)
        z * mean + (1 - z) * collective.
    """

    collective: float
    within: float
    between: float
    means: Array
    weights: Array
    factors: Array
    estimates: Array


def buehlmann_straub(
    segment: NDArray[np.int64],
    ratio: Array,
    weight: Array,
    *,
    collective: float | None = None,
    within: float | None = None,
) -> Credibility:
    """Credibility estimates of segment means from ratios by period.

    Buehlmann & Straub (1970); unbiased estimators as in Buehlmann & Gisler (2005), A Course in
    Credibility Theory and its Applications, sec. 4.8, with a negative `between` set to 0.

    Parameters
    ----------
    segment : array of int, shape (cells,)
        Segment of each cell, 0 to one below their number; every number occurs.
    ratio, weight : array, shape (cells,)
        Ratio of a segment in a period, and its volume, above 0.
    collective : float, optional
        The mean that segments are drawn to, where it is known. By default the
        credibility-weighted mean of the segments.
    within : float, optional
        s^2, where more segments than these tell it.

    Raises
    ------
    TrainingError
        When no segment has two periods, so that `within` cannot be told, or there are fewer than
        two segments and the collective is to be estimated.
    """
    totals: Array = np.bincount(segment, weights=weight).astype(np.float64)
    means: Array = np.bincount(segment, weights=weight * ratio) / totals
    count = len(totals)
    if within is None:
        spare = len(ratio) - count
        if spare < 1:
            raise TrainingError("credibility needs a segment with two periods; bring more vintages")
        within = float(np.sum(weight * (ratio - means[segment]) ** 2)) / spare
    volume = float(totals.sum())
    if collective is not None:
        # About a known mean nothing is lost to estimating it.
        spread = float(np.sum(totals * (means - collective) ** 2))
        between = max((spread - count * within) / volume, 0.0)
    elif count > 1:
        centre = float(np.sum(totals * means)) / volume
        spread = float(np.sum(totals * (means - centre) ** 2))
        scale = volume / (volume**2 - float(np.sum(totals**2)))
        between = max(scale * (spread - (count - 1) * within), 0.0)
    else:
        raise TrainingError("credibility needs two segments to estimate what they are drawn to")
    denominator = between * totals + within
    factors = np.divide(between * totals, denominator, out=np.zeros(count), where=denominator > 0)
    if collective is None:
        mean_weights = factors if between > 0 else totals
        collective = float(np.sum(mean_weights * means) / np.sum(mean_weights))
    estimates = factors * means + (1 - factors) * collective
    return Credibility(collective, within, between, means, totals, factors, estimates)


@dataclass(frozen=True)
class FitPlan:
    """What a correction is to be fitted on, and for.

    Attributes
    ----------
    dimensions : tuple of str
        Of `features.segments.DIMENSIONS`; several make segments of their combinations.
    before : datetime.date
        Vintages before this day are fitted on, as far as their horizon was over by then; the
        correction is for vintages from this day on.
    first_vintage : datetime.date, optional
        First vintage to fit on.
    horizon_months : int, optional
        Horizon of the rates; None: the ultimate of resolved loans.
    vintage_by : {"cut_off_date", "origination_date"}
        What dates the table's vintages.
    """

    dimensions: tuple[str, ...]
    before: date
    first_vintage: date | None = None
    horizon_months: int | None = None
    vintage_by: Literal["cut_off_date", "origination_date"] = "cut_off_date"


@dataclass(frozen=True)
class Origin:
    """Where proposals come from.

    Attributes
    ----------
    data_hash, model_version : str
        See `models.correction.Evidence`.
    proposed_by, reason : str
        See `models.correction.Proposal`.
    proposed_on : datetime.date
        Day of the proposal.
    """

    data_hash: str
    model_version: str
    proposed_by: str
    reason: str
    proposed_on: date


def propose_corrections(table: pl.DataFrame, plan: FitPlan, origin: Origin) -> list[Proposal]:
    """Corrections of the segments whose cash deviates beyond chance.

    A segment is a candidate where actual over forecast cash differs from 1 with a Holm-corrected p
    of at most `FALSE_FLAG_RATE`, over all segments that are not too thin. Its factor is
    1 + z (ratio - 1), drawn towards 1, with z of Buehlmann-Straub: the variance within from all
    segments, by quarter of vintage and weighted with forecast cash; the variance between from the
    candidates. All other segments keep the factor 1: most are right, and a variance between taken
    over all of them would take an outlier for one of many and leave most of its bias.

    Parameters
    ----------
    table : polars.DataFrame
        Table of a backtest; see `training.backtest_schema`. Of several reference dates a loan's
        first counts: the original forecast.
    plan : FitPlan
        What to fit on.
    origin : Origin
        Who proposes, and from what.

    Returns
    -------
    list of Proposal
        Largest forecast cash first; empty where nothing deviates beyond chance.

    Raises
    ------
    TrainingError
        When a dimension is unknown or nothing of the table was known before `plan.before`.
    """
    known = known_before(table, plan)
    segments = _by_segment(known, plan.dimensions)
    p_values = []
    for held in segments.values():
        thin = too_few(held["forecast_amount"].to_numpy())
        test = None if thin else deviation_test(*_cash(held), clusters=_periods(held))
        p_values.append(np.nan if test is None else test.p_value)
    corrected = holm(np.array(p_values))
    chosen = [
        (levels, held, float(p))
        for (levels, held), p in zip(segments.items(), corrected, strict=True)
        if p <= FALSE_FLAG_RATE
    ]
    if not chosen:
        return []
    within = buehlmann_straub(*_cells(list(segments.values())), collective=1.0).within
    fitted = buehlmann_straub(
        *_cells([held for _, held, _ in chosen]), collective=1.0, within=within
    )
    proposals = [
        Proposal(
            conditions=dict(zip(plan.dimensions, levels, strict=True)),
            vintage_by=plan.vintage_by,
            vintages_from=plan.before,
            factor=max(float(fitted.estimates[place]), 0.0),
            credibility=float(fitted.factors[place]),
            evidence=_evidence(held, p_value, plan, origin),
            proposed_by=origin.proposed_by,
            proposed_on=origin.proposed_on,
            reason=origin.reason,
        )
        for place, (levels, held, p_value) in enumerate(chosen)
    ]
    return sorted(proposals, key=lambda p: (-p.evidence.forecast_amount, p.segment))


def known_before(table: pl.DataFrame, plan: FitPlan) -> pl.DataFrame:
    """Rows of a backtest whose outcome was known on the day a correction is for, one a loan.

    Returns
    -------
    polars.DataFrame
        Its rows with `age_band`, `forecast_amount`, `actual_amount` and `period` (quarter of the
        vintage); sorted by loan.

    Raises
    ------
    TrainingError
        As `propose_corrections`.
    """
    unknown = [name for name in plan.dimensions if name not in DIMENSIONS]
    if unknown or not plan.dimensions:
        raise TrainingError(
            f"no dimension {', '.join(unknown) or 'is given'}; use {', '.join(DIMENSIONS)}"
        )
    months = plan.horizon_months
    if months is None:
        over = pl.col("horizon_months").is_null() & pl.col("is_resolved")
    else:
        ends = pl.col("reference_date").dt.offset_by(f"{months}mo")
        over = (pl.col("horizon_months") == months) & (ends < plan.before)
    since = pl.lit(True) if plan.first_vintage is None else pl.col("vintage") >= plan.first_vintage
    known = (
        with_age_band(table)
        .filter(
            over,
            since,
            pl.col("vintage") < plan.before,
            pl.col("reference_date") < plan.before,
            pl.col("actual_rate").is_not_null(),
        )
        .sort("loan_id", "reference_date")
        .unique("loan_id", keep="first", maintain_order=True)
        .with_columns(
            forecast_amount=pl.col("ead_amount") * pl.col("forecast_rate"),
            actual_amount=pl.col("ead_amount") * pl.col("actual_rate"),
            period=pl.col("vintage").dt.truncate(_PERIOD),
        )
    )
    if known.is_empty():
        at = (
            "ultimate outcome of a resolved loan"
            if months is None
            else f"outcome at {months} months"
        )
        raise TrainingError(
            f"no {at} was known before {plan.before}; choose a later day or a shorter horizon"
        )
    return known


def _by_segment(
    known: pl.DataFrame, dimensions: Sequence[str]
) -> dict[tuple[str, ...], pl.DataFrame]:
    stated = known.drop_nulls(list(dimensions))
    parts = stated.partition_by(*dimensions, as_dict=True, maintain_order=True)
    return {tuple(map(str, levels)): parts[levels] for levels in sorted(parts)}


def _cash(held: pl.DataFrame) -> tuple[Array, Array]:
    return held["actual_amount"].to_numpy(), held["forecast_amount"].to_numpy()


def _periods(held: pl.DataFrame) -> NDArray[np.datetime64]:
    return held["period"].to_numpy()


def _cells(segments: list[pl.DataFrame]) -> tuple[NDArray[np.int64], Array, Array]:
    """Segment, ratio and forecast cash of every segment and period in which cash was forecast."""
    cells = (
        pl.concat(
            held.select("period", "actual_amount", "forecast_amount", segment=pl.lit(place))
            for place, held in enumerate(segments)
        )
        .group_by("segment", "period")
        .agg(pl.col("actual_amount", "forecast_amount").sum())
        .filter(pl.col("forecast_amount") > 0)
        .sort("segment", "period")
    )
    # Segments without forecast cash leave no gap in the numbers.
    segment = cells["segment"].rank("dense").to_numpy().astype(np.int64) - 1
    forecast = cells["forecast_amount"].to_numpy()
    return segment, cells["actual_amount"].to_numpy() / forecast, forecast


def _evidence(held: pl.DataFrame, p_value: float, plan: FitPlan, origin: Origin) -> Evidence:
    actual, forecast = _cash(held)
    periods = held["period"].n_unique()
    clusters = _periods(held) if periods >= LEAST_CLUSTERS else None
    columns = np.stack([actual, forecast], axis=1)
    interval = sums_interval(lambda a, f: a / f, columns, clusters)
    vintages = held["vintage"].dt.to_string("%Y-%m-%d")
    return Evidence(
        loans=held.height,
        vintages=periods,
        first_vintage=date.fromisoformat(str(vintages.min())),
        last_vintage=date.fromisoformat(str(vintages.max())),
        horizon_months=plan.horizon_months,
        forecast_amount=float(forecast.sum()),
        actual_amount=float(actual.sum()),
        ratio=float(actual.sum() / forecast.sum()),
        ratio_low=interval.low,
        ratio_high=interval.high,
        p_value=p_value,
        data_hash=origin.data_hash,
        model_version=origin.model_version,
    )
