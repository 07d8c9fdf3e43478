"""Realised recoveries: what happened after the cut-off. For training and backtests only."""

import math
from datetime import date, timedelta
from typing import Final

import polars as pl

from features.age import CUT_OFF
from features.exposure import EAD
from features.horizons import HORIZONS_MONTHS, rate_column
from features.months import month_number
from features.pipeline import prepare_tape
from features.portfolio import Portfolio, PortfolioMeta

ULTIMATE: Final = "recovery_rate_ultimate"
TO_DATE: Final = "recovery_rate_to_date"
_CENTS: Final = 100
_OF_A_CENT: Final = 0.01
# Discounted cash is summed in ten-thousandths of a cent.
_PARTS: Final = 10_000


def realised_recovery(
    portfolio: Portfolio, known_on: date | None = None, cut_off_date: date | None = None
) -> pl.LazyFrame:
    """Cumulative net recovery rates of each loan, with what is censored left missing.

    Parameters
    ----------
    portfolio : Portfolio
        Checked portfolio.
    known_on : datetime.date, optional
        Only cash received, recorded and workouts closed by that day count; by default the
        portfolio's `observed_until_date`.
    cut_off_date : datetime.date, optional
        As in `features.pipeline.build_features`.

    Returns
    -------
    polars.LazyFrame
        In tape order: `loan_id`; `cut_off_date`; `ead_amount`; `observed_months` (months watched,
        less the reporting lag); `closed_months` (missing while open); `is_resolved`; nominal rates
        `recovery_rate_06m` ... `recovery_rate_60m`, `recovery_rate_to_date` (by the end of
        `observed_months`) and `recovery_rate_ultimate`; all but the rate to date also
        discounted to the cut-off, prefixed `discounted_`. A rate at a horizon is missing
        where the loan was open and not watched that long, the ultimate where it is unresolved.
        Rates may leave [0, 1]; none is clipped. Discounted rates and the rate to date are missing
        for undated outcomes.
    """
    meta = portfolio.meta
    known_on = known_on or meta.observed_until_date
    loans = _watched(portfolio, known_on, cut_off_date)
    sums = _cash_by_horizon(portfolio, loans, known_on)
    joined = loans.join(sums, on="loan_id", how="left", maintain_order="left")
    resolved = _is_resolved(meta)
    rates = []
    for prefix in ("", "discounted_"):
        for months in HORIZONS_MONTHS:
            name = prefix + rate_column(months)
            watched = (pl.col("observed_months") >= months) | pl.col("closed_months").is_not_null()
            dated = pl.lit(meta.recovery_timing != "none")
            rates.append(pl.when(watched & dated).then(_rate(name)).alias(name))
        rates.append(pl.when(resolved).then(_rate(prefix + ULTIMATE)).alias(prefix + ULTIMATE))
    if meta.recovery_timing == "none":
        rates.append(pl.lit(None, dtype=pl.Float64).alias(TO_DATE))
    else:
        rates.append(_rate(TO_DATE).alias(TO_DATE))
    undated = "discounted_" + ULTIMATE
    return joined.with_columns(is_resolved=resolved).select(
        "loan_id",
        CUT_OFF,
        EAD,
        "observed_months",
        "closed_months",
        "is_resolved",
        *(
            pl.lit(None, dtype=pl.Float64).alias(undated)
            if meta.recovery_timing == "none" and rate.meta.output_name() == undated
            else rate
            for rate in rates
        ),
    )


def _rate(name: str) -> pl.Expr:
    return pl.col(name).fill_null(0.0) / pl.col(EAD)


def _is_resolved(meta: PortfolioMeta) -> pl.Expr:
    if meta.recovery_timing == "none":
        return pl.col("has_undated_outcome").fill_null(False)
    closed = pl.col("closed_months").is_not_null()
    if meta.max_workout_months is None:
        return closed
    return closed | (pl.col("observed_months") >= meta.max_workout_months)


def _watched(portfolio: Portfolio, known_on: date, cut_off_date: date | None) -> pl.LazyFrame:
    """Exposure and observation window of each loan, in tape order."""
    meta = portfolio.meta
    prepared = prepare_tape(
        portfolio.tape, portfolio.ledger, meta.recovery_basis, (), cut_off_date
    ).select("loan_id", CUT_OFF, EAD)
    closed = (
        pl.col("closed_date")
        if "closed_date" in portfolio.tape.collect_schema().names()
        else pl.lit(None, dtype=pl.Date)
    )
    closings = portfolio.tape.select("loan_id", closed_date=closed)
    # A month is watched when it is over: the last of its cash may come on its last day.
    over = month_number(pl.lit(known_on + timedelta(days=1))) - 1
    watched = over - month_number(pl.col(CUT_OFF))
    closed_months = month_number(pl.col("closed_date")) - month_number(pl.col(CUT_OFF))
    # Within the reporting lag a closed workout's last cash may not be booked: it counts as open.
    booked = (pl.col("closed_date") <= known_on) & (
        closed_months <= watched - meta.reporting_lag_months
    )
    return prepared.join(closings, on="loan_id", how="left", maintain_order="left").select(
        "loan_id",
        CUT_OFF,
        EAD,
        observed_months=pl.max_horizontal(watched - meta.reporting_lag_months, 0),
        closed_months=pl.when(booked).then(closed_months),
    )


def _cash_by_horizon(portfolio: Portfolio, loans: pl.LazyFrame, known_on: date) -> pl.LazyFrame:
    """Net cash after the cut-off by loan and horizon, nominal and discounted, in currency."""
    meta = portfolio.meta
    undated = pl.col("period").is_null()
    months = month_number(pl.col("period")) - month_number(pl.col(CUT_OFF))
    # Whole cents by loan and month: sums do not depend on the order of the rows.
    net_cents = ((pl.col("gross_amount") - pl.col("cost_amount")) * _CENTS).round().cast(pl.Int64)
    monthly = (
        portfolio.ledger.filter(
            pl.col("recorded_at").dt.date() <= known_on, undated | (pl.col("period") <= known_on)
        )
        .join(loans.select("loan_id", CUT_OFF, "observed_months"), on="loan_id", how="inner")
        .with_columns(months_after=months)
        .filter(undated | (pl.col("months_after") > 0))
        .group_by("loan_id", "months_after", "observed_months")
        .agg(cents=net_cents.sum())
    )
    # The monthly equivalent of the annual rate; cash counts at the end of its month. Whole parts of
    # a cent, again for sums in any order.
    worth = (pl.col("months_after") * (-math.log1p(meta.discount_rate) / 12)).exp()
    parts = (pl.col("cents") * worth * _PARTS).round().cast(pl.Int64)
    last = meta.max_workout_months
    # Undated rows carry no month, and are the ultimate outcome as they stand.
    in_workout = pl.lit(True) if last is None else pl.col("months_after").fill_null(0) <= last
    sums = []
    for prefix, cash, unit in (
        ("", pl.col("cents"), _OF_A_CENT),
        ("discounted_", parts, _OF_A_CENT / _PARTS),
    ):
        for horizon in HORIZONS_MONTHS:
            within = cash.filter(pl.col("months_after") <= horizon).sum() * unit
            sums.append(within.alias(prefix + rate_column(horizon)))
        sums.append((cash.filter(in_workout).sum() * unit).alias(prefix + ULTIMATE))
    watched = pl.col("months_after") <= pl.col("observed_months")
    sums.append((pl.col("cents").filter(in_workout & watched).sum() * _OF_A_CENT).alias(TO_DATE))
    has_undated = pl.col("months_after").is_null().any().alias("has_undated_outcome")
    return monthly.group_by("loan_id").agg(*sums, has_undated)
