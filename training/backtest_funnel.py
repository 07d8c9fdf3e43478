"""Where every loan of a tape went: set aside, for training only, or forecast."""

from datetime import date
from typing import Final

import polars as pl

from features.age import CUT_OFF
from features.checked import CheckedPortfolio
from features.exposure import EAD, ead_expression
from features.pipeline import prepare_tape
from features.portfolio import Portfolio

_CENTS: Final = 100
SCHEMA: Final = {
    "step": pl.String,
    "reason": pl.String,
    "loans": pl.Int64,
    "ead_amount": pl.Float64,
}


def usable(checked: CheckedPortfolio) -> Portfolio:
    """Good rows without the loans that lost cash to a faulty ledger row.

    What those recovered is not known: they can be scored, not judged.
    """
    portfolio = checked.portfolio
    if not checked.incomplete_loans.height:
        return portfolio
    incomplete = checked.incomplete_loans.lazy()
    tape = portfolio.tape.join(incomplete, on="loan_id", how="anti", maintain_order="left")
    return portfolio.with_tables(tape, portfolio.ledger)


def funnel(
    checked: CheckedPortfolio, dates: pl.DataFrame, forecasts: pl.DataFrame, first: date
) -> pl.DataFrame:
    """Count every loan and its money once.

    Parameters
    ----------
    checked : CheckedPortfolio
        The portfolio.
    dates : polars.DataFrame
        From `training.backtest_dates.loan_dates`.
    forecasts : polars.DataFrame
        From the walk; its original forecasts of the expanding window are counted.
    first : datetime.date
        First reference date.

    Returns
    -------
    polars.DataFrame
        `step`, `reason`, `loans`, `ead_amount` (exposure at the loan's own cut-off, exact to the
        cent). Of rows that were set aside the exposure counts as far as it can be read.
    """
    rows = [_set_aside(checked), _incomplete(checked)]
    scored = forecasts.filter(
        pl.col("model_view") == "walk_forward",
        pl.col("window") == "expanding",
        pl.col("forecast_of") == "original",
    ).select("loan_id", "is_resolved")
    exposure = _exposure(checked.portfolio).select("loan_id", EAD)
    told = (
        dates.select("loan_id", CUT_OFF)
        .join(scored, on="loan_id", how="left")
        .join(exposure, on="loan_id", how="left")
    )
    step = (
        pl.when(pl.col("is_resolved").is_not_null())
        .then(pl.lit("forecast"))
        .when(pl.col(CUT_OFF) <= first)
        .then(pl.lit("training only"))
        .otherwise(pl.lit("not forecast"))
    )
    reason = (
        pl.when("is_resolved")
        .then(pl.lit("workout closed"))
        .when(pl.col("is_resolved").not_())
        .then(pl.lit("workout open"))
        .when(pl.col(CUT_OFF) <= first)
        .then(pl.lit("cut-off before the first reference date"))
        .otherwise(pl.lit("no exposure at the cut-off"))
    )
    rows.append(_counted(told.with_columns(step=step, reason=reason)))
    return pl.concat(rows).sort("step", "reason")


def _counted(loans: pl.DataFrame) -> pl.DataFrame:
    cents = (pl.col(EAD) * _CENTS).round().cast(pl.Int64).sum() / _CENTS
    return loans.group_by("step", "reason").agg(
        loans=pl.len().cast(pl.Int64), ead_amount=cents.cast(pl.Float64)
    )


def _exposure(portfolio: Portfolio) -> pl.DataFrame:
    return (
        prepare_tape(portfolio.tape, portfolio.ledger, portfolio.meta.recovery_basis, ())
        .select("loan_id", EAD)
        .collect(engine="streaming")
    )


def _incomplete(checked: CheckedPortfolio) -> pl.DataFrame:
    lost = checked.incomplete_loans.select("loan_id")
    exposure = _exposure(checked.portfolio).join(lost, on="loan_id", how="semi")
    return _counted(
        exposure.with_columns(
            step=pl.lit("set aside"), reason=pl.lit("cash lost to a faulty ledger row")
        )
    )


def _set_aside(checked: CheckedPortfolio) -> pl.DataFrame:
    """Rows of the tape that broke a rule, by the rules they broke; money as far as it is read."""
    if not checked.tape_set_aside.height:
        return pl.DataFrame(schema=SCHEMA)
    raw = checked.checked
    names = raw.tape.collect_schema().names()
    parts = (
        "original_amount",
        "principal_outstanding",
        "interest_outstanding",
        "fees_outstanding",
    )
    amounts = [
        (
            pl.col(name).cast(pl.Float64, strict=False)
            if name in names
            else pl.lit(None, pl.Float64)
        ).alias(name)
        for name in parts
    ]
    ead = ead_expression(raw.meta.recovery_basis)
    rows = (
        raw.tape.select(*amounts, paid_since_snapshot_amount=pl.lit(0.0))
        .with_row_index("row", offset=1)
        .with_columns(pl.col("row").cast(pl.Int64), ead.alias(EAD))
        .join(checked.tape_set_aside.lazy().select("row", "rules"), on="row", how="inner")
        .collect(engine="streaming")
    )
    readable = pl.when(pl.col(EAD).is_finite()).then(EAD)
    return _counted(
        rows.with_columns(readable.alias(EAD), step=pl.lit("set aside"), reason=pl.col("rules"))
    )
