"""Why the worst misses of a backtest were forecast as they were."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from features.exposure import EAD
from features.portfolio import Portfolio
from models.recovery import RecoveryModel
from models.scoring import FACTORS, score_loans
from training.backtest_loans import actual_column, forecast_column, of_loans

WORST: Final = 20


def worst_misses(
    originals: pl.DataFrame,
    months: int | None,
    portfolio: Portfolio,
    models: Mapping[int, RecoveryModel],
) -> pl.DataFrame:
    """Loans that missed by most money, with the factors of their forecast.

    Parameters
    ----------
    originals : polars.DataFrame
        Walk-forward forecasts at the loans' own cut-offs.
    months : int, optional
        Horizon at which they are judged; None is the ultimate.
    portfolio : Portfolio
        Holds the loans.
    models : mapping of int to RecoveryModel
        By fold.

    Returns
    -------
    polars.DataFrame
        The `WORST` loans, the largest miss first: `loan_id`, `fold`, `reference_date`,
        `ead_amount`, `horizon_months`, `forecast_rate` and `actual_rate` at it, `miss_amount`
        (actual - forecast, currency), and of the ultimate forecast `base_rate`, `factor_1` ... with
        `_value` and `_points`, and `other_points` (rate points that add up to `recovery_rate`).
    """
    forecast, actual = pl.col(forecast_column(months)), pl.col(actual_column(months))
    worst = (
        originals.select(
            *("loan_id", "fold", "reference_date", EAD),
            horizon_months=pl.lit(months, dtype=pl.Int32),
            forecast_rate=forecast,
            actual_rate=actual,
            miss_amount=pl.col(EAD) * (actual - forecast),
        )
        .drop_nulls("miss_amount")
        .sort(pl.col("miss_amount").abs(), "loan_id", descending=[True, False])
        .head(WORST)
    )
    told = []
    for fold in sorted(worst["fold"].unique()):
        held = of_loans(portfolio, worst.filter(pl.col("fold") == fold)["loan_id"])
        scores = score_loans(models[fold], held.tape, held.ledger, explain=True)
        factors = [
            f"factor_{n}{part}"
            for n in range(1, FACTORS + 1)
            for part in ("", "_value", "_points")
            if f"factor_{n}{part}" in scores.columns
        ]
        told.append(
            scores.select("loan_id", "recovery_rate", "base_rate", *factors, "other_points")
        )
    if not told:
        return worst
    return worst.join(
        pl.concat(told, how="diagonal"), on="loan_id", how="left", maintain_order="left"
    )
