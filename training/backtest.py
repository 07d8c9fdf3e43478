"""The walk-forward backtest: forecasts of the past held against what was really recovered."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar

import polars as pl

from features.checked import CheckedPortfolio
from features.horizons import HORIZONS_MONTHS
from features.pipeline import formula_hash
from features.portfolio import Portfolio, PortfolioMeta
from models.recovery import RecoveryModel
from training.backtest_baselines import baseline_frame
from training.backtest_dates import loan_dates, numbered, reference_dates
from training.backtest_features import SCHEMA as FEATURE_SCHEMA
from training.backtest_features import feature_rows
from training.backtest_funnel import funnel, usable
from training.backtest_loans import actual_column, forecast_column
from training.backtest_reasons import worst_misses
from training.backtest_walk import MOST_COMPARED, SEED, Walk, packages_of
from training.dataset import training_set
from training.settings import FitSettings
from training.train import data_hash, git_commit, versions

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
# Vintages a sliding window holds.
SLIDING_YEARS: Final = 3


@dataclass(frozen=True)
class Backtest:
    """Forecasts of the past beside what came, and all that a report of them needs.

    docs/decisions/0010-backtest.md lists the columns.

    Attributes
    ----------
    meta : PortfolioMeta
        Description of the portfolio.
    provenance : dict
        Enough to make it again: hashes, commit, versions, parameters, settings chosen.
    headline_months : int, optional
        Horizon at which most loans can be judged; None is the ultimate.
    forecasts : polars.DataFrame
        A row a loan, model view, window, kind of forecast and reference date.
    packages : polars.DataFrame
        A row a vintage or package of the original walk-forward forecasts.
    folds : polars.DataFrame
        A row a reference date, window and kind of forecast: what trained, what was scored.
    funnel : polars.DataFrame
        Every loan of the tape in one row: `step`, `reason`, `loans`, `ead_amount`.
    features : polars.DataFrame
        Stability and power of each feature; see `training.backtest_features`.
    baselines : polars.DataFrame
        Accuracy of each fold's model and baselines.
    reasons : polars.DataFrame
        The worst misses; see `training.backtest_reasons`.
    """

    meta: PortfolioMeta
    provenance: dict[str, Any]
    headline_months: int | None
    forecasts: pl.DataFrame
    packages: pl.DataFrame
    folds: pl.DataFrame
    funnel: pl.DataFrame
    features: pl.DataFrame
    baselines: pl.DataFrame
    reasons: pl.DataFrame

    @property
    def originals(self) -> pl.DataFrame:
        """Forecasts at the loans' own cut-offs by models that knew no later day."""
        return originals(self.forecasts)


def backtest(
    checked: CheckedPortfolio,
    settings: FitSettings | None = None,
    current: RecoveryModel | None = None,
    *,
    days: list[date] | None = None,
    sliding_years: int = SLIDING_YEARS,
) -> Backtest:
    """Walk forward through a portfolio: at each reference date, only what was known then.

    Parameters
    ----------
    checked : CheckedPortfolio
        From `features.check.check_portfolio`.
    settings : FitSettings, optional
        Of every fit; by default chosen on training loans of the time.
    current : RecoveryModel, optional
        Today's model; by default one is trained on what is known today.
    days : list of datetime.date, optional
        Reference dates, rising month ends; by default `training.backtest_dates.reference_dates`.
    sliding_years : int
        Vintages of the sliding window.

    Raises
    ------
    TrainingError
        When the portfolio allows no reference date, or too little was known on one.
    """
    portfolio = usable(checked)
    dates = loan_dates(portfolio)
    references = numbered(days) if days else reference_dates(dates, portfolio.meta)
    walk = Walk(portfolio, dates, settings, current, sliding_years)
    walk.begin(references[0].day)
    for reference in references:
        walk.step(reference)
    forecasts = pl.concat(walk.rows)
    own = originals(forecasts)
    months = headline_months(own, portfolio.meta)
    parameters = {
        "settings": settings.as_document() if settings else None,
        "reference_dates": [reference.day.isoformat() for reference in references],
        "sliding_years": sliding_years,
    }
    return Backtest(
        meta=portfolio.meta,
        provenance=_provenance(portfolio, walk, parameters),
        headline_months=months,
        forecasts=forecasts,
        packages=packages_of(walk, months),
        folds=pl.DataFrame(
            walk.folds, schema_overrides={"gap_months": pl.Int32}, infer_schema_length=None
        ),
        funnel=funnel(checked, dates, own, references[0].day),
        features=_features(walk),
        baselines=baseline_frame(walk.baselines),
        reasons=worst_misses(own, months, portfolio, walk.models),
    )


def originals(forecasts: Frame) -> Frame:
    """Rows of the expanding walk-forward forecasts at the loans' own cut-offs."""
    return forecasts.filter(
        pl.col("model_view") == "walk_forward",
        pl.col("window") == "expanding",
        pl.col("forecast_of") == "original",
    )


def headline_months(own: pl.DataFrame, meta: PortfolioMeta) -> int | None:
    """Longest horizon at which half of the original forecasts can be judged.

    Where none reaches half, the one at which most can. Undated outcomes are judged ultimately.
    """
    if meta.recovery_timing == "none":
        return None
    judged = own.select(
        (
            pl.col(actual_column(months)).is_not_null()
            & pl.col(forecast_column(months)).is_not_null()
        )
        .sum()
        .alias(str(months))
        for months in reversed(HORIZONS_MONTHS)
    ).row(0, named=True)
    half = [months for months, loans in judged.items() if loans >= own.height / 2]
    return int(half[0] if half else max(judged, key=lambda months: judged[months]))


def _features(walk: Walk) -> pl.DataFrame:
    """Judged on the newest fold whose outcomes are known; stability against the newest loans."""
    if walk.judged is None or walk.latest is None:
        return pl.DataFrame(schema=FEATURE_SCHEMA)
    latest = training_set(walk.latest.portfolio, spec=walk.judged.train.spec)
    return feature_rows(walk.judged, latest)


def _provenance(portfolio: Portfolio, walk: Walk, parameters: dict[str, Any]) -> dict[str, Any]:
    spec = walk.models[max(walk.models)].spec
    return {
        "data_hash": data_hash(portfolio) if portfolio.digest or portfolio.path else None,
        "spec_hash": spec.hash,
        "formula_hash": formula_hash(spec),
        "git_commit": git_commit(),
        "versions": versions(),
        "parameters": parameters | {"most_compared_loans": MOST_COMPARED, "seed": SEED},
        "chosen": walk.chosen,
    }
