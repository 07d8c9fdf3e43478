"""The model against the simulator's known truth, and against training on closed workouts alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.portfolio import read_portfolio
from models.recovery import RecoveryModel
from training.dataset import TrainingSet, training_set
from training.fit import fit_recovery
from training.selection import choose


def truth_section(folder: Path) -> str:
    """Text of the section, from a simulated portfolio's folder."""
    data = training_set(read_portfolio(folder))
    truth = pl.read_parquet(folder / "truth" / "truth.parquet")
    expected = truth["true_rate_ultimate"].to_numpy()
    settings = choose(data).settings
    models = {
        "all workouts, censored as such": fit_recovery(data, settings),
        "closed workouts only": fit_recovery(closed_only(data), settings),
    }
    years = data.outcomes["cut_off_date"].dt.year().to_numpy()
    rows = [_row(name, model, data, expected, years) for name, model in models.items()]
    closed = data.outcomes["closed_months"].count() / data.outcomes.height
    return "\n".join(
        [
            "## Simulated loans, known truth\n",
            f"{data.features.height:,} loans; {closed:.0%} of the workouts are closed at the"
            " observation date. The truth is each loan's expected ultimate net recovery rate given"
            " the shocks of its vintage and region. Bias is the mean forecast less the mean truth,"
            " in rate points.\n",
            "| trained on | correlation with the truth | bias, all | bias, cut-offs to 2019 |"
            " bias, cut-offs from 2020 |\n|---|---:|---:|---:|---:|",
            *rows,
            "",
            "Cut-offs from 2020 are watched for less than the five years of a workout. Among them"
            " the closed workouts are the quick and good ones: a model of closed workouts"
            " forecasts too high. What bias ours has left there is the fall of levels"
            " from 2022 on, which the data to the observation date show only in part.\n",
        ]
    )


def closed_only(data: TrainingSet) -> TrainingSet:
    """The practice to be warned of: closed workouts with their cash as final, the open left out."""
    closed = data.rows(data.outcomes["closed_months"].is_not_null())
    return replace(closed, meta=closed.meta.model_copy(update={"recovery_timing": "none"}))


def _row(
    name: str,
    model: RecoveryModel,
    data: TrainingSet,
    expected: NDArray[np.float64],
    years: NDArray[np.int32],
) -> str:
    forecast = model.recovery_rate(data.features)
    error = forecast - expected
    correlation = float(np.corrcoef(forecast, expected)[0, 1])
    biases = [error.mean(), error[years <= 2019].mean(), error[years >= 2020].mean()]
    return f"| {name} | {correlation:.3f} | " + " | ".join(f"{bias:+.4f}" for bias in biases) + " |"
