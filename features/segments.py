"""Segments that forecasts are judged and corrected by: one definition for backtest and scoring."""

from datetime import date
from typing import Any, Final, cast

import polars as pl

from features import age
from features.exposure import EAD
from features.pipeline import prepare_tape
from features.portfolio import RecoveryBasis
from features.region import region_expression

# The ages at which a best estimate in default is looked at (0, 1, 3, 5, 7 years).
_AGE_BREAKS_MONTHS: Final = (12, 36, 60, 84)
AGE_BANDS: Final = (
    "under 1 year", "1 to 3 years", "3 to 5 years", "5 to 7 years", "7 years and over",
)  # fmt: skip
_EXPOSURE_BREAKS: Final = (10_000, 100_000, 1_000_000, 10_000_000)
EXPOSURE_BANDS: Final = (
    "under 10 thousand", "10 to 100 thousand", "100 thousand to 1 million", "1 to 10 million",
    "10 million and over",
)  # fmt: skip
DIMENSIONS: Final = ("asset_class", "region", "guarantee", "exposure_band", "age_band")


def _banded(value: pl.Expr, breaks: tuple[int, ...], labels: tuple[str, ...]) -> pl.Expr:
    # Branches rather than cut: a NaN must not fall into the last band.
    band: Any = pl.when(value < breaks[0]).then(pl.lit(labels[0]))
    for edge, label in zip(breaks[1:], labels[1:-1], strict=True):
        band = band.when(value < edge).then(pl.lit(label))
    return cast(pl.Expr, band.when(value.is_not_nan()).then(pl.lit(labels[-1])))


def age_band(months_since_default: pl.Expr) -> pl.Expr:
    """Band of 账龄, from its start on; missing where the age is.

    Examples
    --------
    >>> frame = pl.DataFrame({"months": [11.0, 12.0, 200.0, None]})
    >>> frame.select(age_band(pl.col("months"))).to_series().to_list()
    ['under 1 year', '1 to 3 years', '7 years and over', None]
    """
    return _banded(months_since_default.cast(pl.Float64), _AGE_BREAKS_MONTHS, AGE_BANDS)


def exposure_band(ead_amount: pl.Expr) -> pl.Expr:
    """Band of exposure in the portfolio's currency, from its start on.

    Examples
    --------
    >>> frame = pl.DataFrame({"ead": [9_999.99, 10_000.0, 2e7]})
    >>> frame.select(exposure_band(pl.col("ead"))).to_series().to_list()
    ['under 10 thousand', '10 to 100 thousand', '10 million and over']
    """
    return _banded(ead_amount.cast(pl.Float64), _EXPOSURE_BREAKS, EXPOSURE_BANDS)


def segment_frame(
    tape: pl.LazyFrame,
    ledger: pl.LazyFrame,
    basis: RecoveryBasis,
    cut_off_date: date | None = None,
) -> pl.DataFrame:
    """Segments of each loan of a checked tape.

    Parameters
    ----------
    tape, ledger, cut_off_date
        As in `features.pipeline.build_features`.
    basis : {"claim", "principal", "original_amount"}
        What exposure is measured on.

    Returns
    -------
    polars.DataFrame
        In tape order: `loan_id`, `cut_off_date`, `origination_date`, `months_since_default` and
        the columns of `DIMENSIONS` as text: the borrower's region, else that of the collateral;
        missing where a tape does not state one.
    """
    months = next(f.expression for f in age.FEATURES if f.name == "months_since_default")
    prepared = prepare_tape(tape, ledger, basis, (), cut_off_date)
    region = pl.coalesce(
        region_expression("borrower_adcode"), region_expression("collateral_adcode")
    )
    return prepared.select(
        "loan_id",
        age.CUT_OFF,
        "origination_date",
        months.alias("months_since_default"),
        pl.col("asset_class").cast(pl.String),
        region.alias("region"),
        pl.col("guarantee_type").cast(pl.String).alias("guarantee"),
        exposure_band(pl.col(EAD)).alias("exposure_band"),
        age_band(months).alias("age_band"),
    ).collect(engine="streaming")
