"""Loans of a backtest at a reference date: what they were, and what came of them from there on."""

from datetime import date
from typing import Final

import numpy as np
import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.horizons import HORIZONS_MONTHS, rate_column
from features.portfolio import Portfolio
from features.segments import segment_frame
from features.targets import TO_DATE, ULTIMATE, realised_recovery

SEGMENTS: Final = (
    "asset_class",
    "region",
    "default_vintage",
    "age_band",
    "exposure_band",
    "guarantee",
)


def actual_column(months: int | None) -> str:
    """Column of what came: by a horizon, or ultimately where it is None.

    Examples
    --------
    >>> actual_column(6), actual_column(None)
    ('actual_rate_06m', 'actual_rate')
    """
    return "actual_rate" if months is None else rate_column(months).replace("recovery", "actual")


def forecast_column(months: int | None) -> str:
    """Column of the forecast: by a horizon, or ultimately where it is None.

    Examples
    --------
    >>> forecast_column(24)
    'forecast_rate_24m'
    """
    name = actual_column(months)
    return name.replace("actual", "forecast")


def loans_at(portfolio: Portfolio, reference_date: date | None = None) -> pl.DataFrame:
    """Segments and realised rates of each loan of a checked portfolio.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    reference_date : datetime.date, optional
        As `cut_off_date` of `features.pipeline.build_features`: exposure is re-based to it and only
        later cash counts. By default each loan's own cut-off.

    Returns
    -------
    polars.DataFrame
        In tape order: `loan_id`, `package_id`, `vintage_date` (the loan's own cut-off),
        `reference_date`, `months_since_default`, `years_in_default`, `ead_amount` (currency), the
        columns of `SEGMENTS` (missing where not stated), `observed_months`, `closed_months`,
        `is_resolved`, `actual_rate_06m` ... (missing where not watched that long, even if closed
        before: early closings do not stand for their open peers), `actual_rate` (ultimate, missing
        while unresolved) and `recovery_rate_to_date` (by the end of `observed_months`).
    """
    names = portfolio.tape.collect_schema().names()
    default = [pl.col(n) for n in ("default_date", "first_overdue_date") if n in names]
    package = pl.col("package_id") if "package_id" in names else pl.lit(None, dtype=pl.String)
    stated = portfolio.tape.select(
        package_id=package.cast(pl.String),
        vintage_date="snapshot_date",
        default_vintage=pl.coalesce(*default, pl.lit(None, dtype=pl.Date))
        .dt.year()
        .cast(pl.String),
    ).collect(engine="streaming")
    segments = segment_frame(
        portfolio.tape, portfolio.ledger, portfolio.meta.recovery_basis, reference_date
    )
    outcomes = realised_recovery(portfolio, cut_off_date=reference_date).collect(engine="streaming")
    watched = [
        pl.when(pl.col("observed_months") >= months)
        .then(rate_column(months))
        .alias(actual_column(months))
        for months in HORIZONS_MONTHS
    ]
    return pl.concat(
        [
            outcomes.select("loan_id"),
            stated.select("package_id", "vintage_date"),
            outcomes.select(pl.col(CUT_OFF).alias("reference_date")),
            segments.select(
                "months_since_default", years_in_default=pl.col("months_since_default") / 12
            ),
            outcomes.select(EAD),
            segments.with_columns(stated["default_vintage"]).select(SEGMENTS),
            outcomes.select(
                "observed_months",
                "closed_months",
                "is_resolved",
                *watched,
                pl.col(ULTIMATE).alias(actual_column(None)),
                TO_DATE,
            ),
        ],
        how="horizontal",
    )


def of_loans(portfolio: Portfolio, ids: pl.Series) -> Portfolio:
    """Return the portfolio of some loans alone, read once and held in memory, sorted by loan.

    Sums over loans then round alike, however the tape was sorted.
    """
    wanted = pl.LazyFrame({"loan_id": ids})
    tape = portfolio.tape.join(wanted, on="loan_id", how="semi").sort("loan_id")
    ledger = portfolio.ledger.join(wanted, on="loan_id", how="semi", maintain_order="left")
    held = pl.collect_all([tape, ledger], engine="streaming")
    return portfolio.with_tables(held[0].lazy(), held[1].lazy())


def sampled_ids(ids: pl.Series, most: int, seed: int) -> pl.Series:
    """Return at most so many of the loans, drawn without regard to their order."""
    if len(ids) <= most:
        return ids
    drawn = np.random.default_rng(seed).choice(len(ids), most, replace=False)
    return ids.sort()[np.sort(drawn)]
