"""Two backtests side by side: what moved, paired on the loans both have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from models.backtest_files import DOCUMENT
from training.backtest import originals
from training.comparison import Gain, paired_gains
from training.errors import TrainingError
from training.report.changes import key_figures
from training.report.schema import Report, read_report
from training.report.subject import horizon_column

FORECASTS: Final = "forecasts.parquet"
# Pairs that a thousand bootstrap samples are drawn of; more tell the same.
_MOST_PAIRED: Final = 20_000
_SEED: Final = 20_261_125
_CENT: Final = 0.005


@dataclass(frozen=True)
class RunComparison:
    """What moved from one backtest to another.

    Attributes
    ----------
    horizon_months : int, optional
        Horizon that the loans are paired at; None is the ultimate.
    first_loans, second_loans, paired_loans : int
        Judged loans of each, and loans that both forecast and that have an outcome.
    sampled_loans : int
        Of the paired loans that the gains were told on.
    gains : dict of str to Gain
        Of the second run over the first; empty with fewer than two pairs.
    figures : list of dict
        `figure`, `first`, `second`: key figures of each report on its own loans.
    """

    horizon_months: int | None
    first_loans: int
    second_loans: int
    paired_loans: int
    sampled_loans: int
    gains: dict[str, Gain]
    figures: list[dict[str, Any]]


def compare_runs(first: Path, second: Path) -> RunComparison:
    """Compare two folders that `npl backtest` wrote.

    Parameters
    ----------
    first, second : Path
        Folders of the older and the newer run.

    Raises
    ------
    TrainingError
        When a folder holds no backtest, they are of different currencies, speak of different
        horizons, or exposures of the same loans differ.
    """
    reports = [read_report(folder / DOCUMENT) for folder in (first, second)]
    _refuse_unlike(reports)
    months = reports[0].about.horizon_months
    pairs = _pairs(first, second, months)
    drawn = pairs.sample(min(pairs.height, _MOST_PAIRED), seed=_SEED).sort("loan_id")
    gains: dict[str, Gain] = {}
    if drawn.height > 1:
        gains = paired_gains(
            actual=drawn["actual"].to_numpy(),
            first=drawn["forecast"].to_numpy(),
            second=drawn["forecast_second"].to_numpy(),
            ead=drawn["ead_amount"].to_numpy(),
        )
    before, after = (key_figures(report) for report in reports)
    return RunComparison(
        horizon_months=months,
        first_loans=reports[0].data.judged_loans,
        second_loans=reports[1].data.judged_loans,
        paired_loans=pairs.height,
        sampled_loans=drawn.height,
        gains=gains,
        figures=[{"figure": n, "first": before[n], "second": after[n]} for n in before],
    )


def _refuse_unlike(reports: list[Report]) -> None:
    for name in ("currency", "horizon_months", "recovery_basis"):
        values = [getattr(report.about, name) for report in reports]
        if values[0] != values[1]:
            raise TrainingError(
                f"the runs differ in {name}: {values[0]!r} and {values[1]!r}; compare like with"
                " like"
            )


def _pairs(first: Path, second: Path, months: int | None) -> pl.DataFrame:
    """Loans that both runs forecast, with the outcome that the newer one knows."""
    held = []
    for folder in (first, second):
        try:
            forecasts = pl.scan_parquet(folder / FORECASTS)
            held.append(
                originals(forecasts)
                .select(
                    "loan_id",
                    "ead_amount",
                    forecast=horizon_column("forecast", months),
                    actual=horizon_column("actual", months),
                )
                .drop_nulls("forecast")
                .collect()
            )
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TrainingError(
                f"{folder / FORECASTS}: not readable ({str(error).splitlines()[0]}); give a folder"
                " that npl backtest wrote"
            ) from error
    pairs = (
        held[0]
        .join(held[1], on="loan_id", suffix="_second")
        .with_columns(actual=pl.coalesce("actual_second", "actual"))
        .drop_nulls("actual")
        .sort("loan_id")
    )
    other = pairs.filter((pl.col("ead_amount") - pl.col("ead_amount_second")).abs() > _CENT)
    if other.height:
        loan = other.row(0, named=True)
        raise TrainingError(
            f"loan {loan['loan_id']} has ead_amount {loan['ead_amount']:,.2f} in {first} and"
            f" {loan['ead_amount_second']:,.2f} in {second} ({other.height} such loans); compare"
            " backtests of the same loans"
        )
    return pairs
