"""The terms of a defaulted mortgage and what the panel saw of it up to the default.

A rate, a loan to value or an original balance of 0 is the publisher's "not known".
"""

from datetime import date
from typing import Final

import polars as pl

_QUARTERS_A_YEAR: Final = 4


def period_end(period: pl.Expr) -> pl.Expr:
    """Last day of a period of the panel: period 1 ends on 30 June 2000, by convention."""
    months = pl.format("{}mo", (period.cast(pl.Int32) - 1) * 3)
    return pl.when(period.is_not_null()).then(
        pl.lit(date(2000, 6, 1)).dt.offset_by(months).dt.month_end()
    )


def with_history(defaults: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Add what the panel saw of each loan up to its default."""
    history = (
        panel.join(defaults.select("id", default_period="time"), on="id")
        .filter(pl.col("time") <= pl.col("default_period"))
        .sort("id", "time")
        .group_by("id")
        .agg(
            periods_observed=pl.col("time").n_unique(),
            first_balance=pl.col("balance_time").first(),
            first_rate=pl.col("interest_rate_time").first(),
        )
    )
    return defaults.join(history, on="id", how="left", maintain_order="left")


def with_series(loans: pl.DataFrame, panel: pl.DataFrame) -> pl.DataFrame:
    """Add the house-price index and unemployment of four periods before default.

    The index is known for periods of observation and of origination alike; they agree.
    """
    origins = panel.select(period="orig_time", hpi_before="hpi_orig_time")
    hpi = (
        pl.concat([panel.select(period="time", hpi_before="hpi_time"), origins])
        .drop_nulls()
        .unique("period", keep="first", maintain_order=True)
    )
    unemployment = (
        panel.select(period="time", uer_before="uer_time")
        .drop_nulls()
        .unique("period", keep="first", maintain_order=True)
    )
    loans = loans.with_columns(period_before=pl.col("time") - _QUARTERS_A_YEAR)
    for series in (hpi, unemployment):
        loans = loans.join(
            series, left_on="period_before", right_on="period", how="left", maintain_order="left"
        )
    return loans


def _positive(name: str) -> pl.Expr:
    return pl.when(pl.col(name) > 0).then(pl.col(name))


def _change(now: pl.Expr, before: pl.Expr) -> pl.Expr:
    return pl.when(before > 0).then(now / before - 1)


def with_terms(loans: pl.DataFrame) -> pl.DataFrame:
    """Add the canonical columns of the tape."""
    balance, original = pl.col("balance_time"), _positive("balance_orig_time")
    value = balance / (_positive("LTV_time") / 100)
    term = (pl.col("mat_time") - pl.col("orig_time")) * 3
    investor = pl.col("investor_orig_time") == 1
    fico = pl.col("FICO_orig_time")
    return loans.with_columns(
        loan_id=pl.col("id"),
        borrower_id=pl.col("id"),
        package_id=pl.format("DCR-{}", pl.col("time").cast(pl.String).str.zfill(2)),
        snapshot_date=period_end(pl.col("time")),
        default_date=period_end(pl.col("time")),
        source_system=pl.lit("us_mortgage"),
        borrower_type=pl.lit("individual"),
        asset_class=pl.lit("residential_mortgage"),
        currency=pl.lit("USD"),
        guarantee_type=pl.lit("mortgage"),
        collateral_type=pl.lit("residential"),
        collateral_adcode=pl.col("state_orig_time"),
        borrower_adcode=pl.col("state_orig_time"),
        appraised_value=pl.when(value > 0).then(value),
        valuation_date=pl.when(value > 0).then(period_end(pl.col("time"))),
        occupancy=pl.when(investor).then(pl.lit("rented")).when(~investor).then(pl.lit("owner")),
        origination_date=period_end(pl.col("orig_time")),
        maturity_date=period_end(pl.col("mat_time")),
        term_months=pl.when(term.is_between(1, 720)).then(term),
        original_amount=pl.coalesce(original, pl.when(balance > 0).then(balance)),
        principal_outstanding=balance,
        interest_rate=_positive("interest_rate_time"),
        credit_score=pl.when(fico.is_between(300, 850)).then(fico),
    )


def with_extra_fields(loans: pl.DataFrame) -> pl.DataFrame:
    """Add the extra fields; needs what `with_history` and `with_series` add."""
    rate = _positive("interest_rate_time")
    ltv, ltv_orig = _positive("LTV_time"), _positive("LTV_orig_time")
    hpi, hpi_orig = _positive("hpi_time"), _positive("hpi_orig_time")
    balance = pl.col("balance_time")
    kind = (
        pl.when(pl.col("REtype_SF_orig_time") == 1)
        .then(pl.lit("single_family"))
        .when(pl.col("REtype_PU_orig_time") == 1)
        .then(pl.lit("planned_unit_development"))
        .when(pl.col("REtype_CO_orig_time") == 1)
        .then(pl.lit("condominium"))
        .when(pl.col("REtype_SF_orig_time").is_not_null())
        .then(pl.lit("other"))
    )
    return loans.with_columns(
        ltv_at_default=ltv,
        ltv_at_origination=ltv_orig,
        ltv_change=ltv - ltv_orig,
        property_type=kind,
        investor=pl.col("investor_orig_time") == 1,
        hpi_at_default=hpi,
        hpi_at_origination=hpi_orig,
        hpi_since_origination=_change(hpi, hpi_orig),
        hpi_change_1_year=_change(hpi, pl.col("hpi_before")),
        gdp_growth=pl.col("gdp_time"),
        unemployment_rate=pl.col("uer_time"),
        unemployment_change_1_year=pl.col("uer_time") - pl.col("uer_before"),
        market_rate_at_origination=pl.col("rate_time"),
        interest_rate_at_origination=_positive("Interest_Rate_orig_time"),
        interest_rate_change=rate - _positive("first_rate"),
        rate_spread=rate - pl.col("rate_time"),
        balance_to_original=balance / _positive("balance_orig_time"),
        balance_change_observed=_change(balance, pl.col("first_balance")),
        loan_age_periods=pl.col("time") - pl.col("orig_time"),
    )
