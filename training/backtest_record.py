"""What a backtest's run keeps: its key figures, the deviation of each fold, report and tables."""

from pathlib import Path

import polars as pl

from models.backtest_files import FOLDER, MODEL
from training.backtest import Backtest
from training.backtest_loans import actual_column, forecast_column
from training.report.changes import key_figures
from training.report.schema import Report
from training.tracking import TrackedRun


def record_backtest(run: TrackedRun, found: Backtest, report: Report, folder: Path) -> None:
    """Write a backtest down in its run.

    Metrics: the key figures of the report; `fold_deviation`, `fold_forecast_amount` and
    `fold_actual_amount` by fold of the walk-forward, at the headline's horizon. Artifacts: all of
    the folder that was written, as `backtest/`.

    Parameters
    ----------
    run : TrackedRun
        Open run of kind "backtest".
    found : Backtest
        Forecasts beside what came.
    report : Report
        Its report.
    folder : Path
        Where report and tables lie.
    """
    run.tags({"light": str(report.light), MODEL: str(found.provenance[MODEL])})
    run.parameters(
        {
            "judged_at_months": found.headline_months or "ultimate",
            "reference_dates": found.folds["reference_date"].n_unique(),
            "folds": found.folds["fold"].n_unique(),
            "judged_loans": report.data.judged_loans,
        }
    )
    run.metrics(key_figures(report))
    for row in fold_deviations(found).iter_rows(named=True):
        run.metrics({f"fold_{name}": row[name] for name in row if name != "fold"}, row["fold"])
    run.folder(folder, FOLDER)
    run.describe("\n".join(f"- {line.en}" for line in report.summary))


def fold_deviations(found: Backtest) -> pl.DataFrame:
    """Forecast and realised cash of the walk-forward's original forecasts, by fold.

    Returns
    -------
    polars.DataFrame
        `fold`, `forecast_amount`, `actual_amount`, `deviation`: of the loans whose outcome at the
        headline's horizon is known.
    """
    forecast, actual = (name(found.headline_months) for name in (forecast_column, actual_column))
    sums = (
        found.originals.drop_nulls([forecast, actual])
        .group_by("fold")
        .agg(
            forecast_amount=pl.col("ead_amount").dot(forecast),
            actual_amount=pl.col("ead_amount").dot(actual),
        )
        .sort("fold")
    )
    return sums.with_columns(deviation=pl.col("actual_amount") / pl.col("forecast_amount") - 1)
