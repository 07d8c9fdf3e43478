"""Candidates of the dated curve against the simulator's truth, and what censoring costs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.curve_baselines import (
    Curve,
    bornhuetter_ferguson_curve,
    chain_ladder,
    horizon_as_feature,
    increments_of_cash,
)
from features.horizons import HORIZONS_MONTHS
from features.portfolio import Portfolio, read_portfolio
from training.dataset import TrainingSet, training_set
from training.fit import fit_recovery
from training.holdout import hold_out
from training.selection import choose

Array = NDArray[np.float64]
Fit = Callable[[TrainingSet], Curve]
YARDSTICK: Final = "chain-ladder by segment"
SHIPPED: Final = "npl-recovery: ultimate x pattern"
# Cut-offs of the last two years of the portfolio are its newest vintages.
NEWEST_MONTHS: Final = 24
HELD_OUT_FROM: Final = (date(2020, 1, 1), date(2021, 1, 1), date(2022, 1, 1))
OPEN_SHARE: Final = 0.6
# Long after the last workout has ended.
_EVERYTHING_KNOWN: Final = date(2035, 12, 31)


def shipped(train: TrainingSet) -> Curve:
    """The model of `npl train`, with the settings it chooses on these loans."""
    model = fit_recovery(train, choose(train).settings)
    return lambda data: model.recovery_curve(data.features)


# Every candidate by its name in the tables, the yardstick first.
CANDIDATES: Final[dict[str, Fit]] = {
    YARDSTICK: chain_ladder,
    "Bornhuetter-Ferguson by segment": bornhuetter_ferguson_curve,
    "horizon as a monotone feature": horizon_as_feature,
    "cash of each interval": increments_of_cash,
    SHIPPED: shipped,
}


@dataclass(frozen=True)
class Simulated:
    """A simulated portfolio and its truth.

    Attributes
    ----------
    portfolio : Portfolio
        As observed.
    folder : Path
        Where it lies, with `truth/`.
    """

    portfolio: Portfolio
    folder: Path

    def truth(self, data: TrainingSet) -> Array:
        """True expected cumulative net rates of the loans, shape (loans, horizons)."""
        rates = pl.read_parquet(self.folder / "truth" / "truth.parquet")
        own = data.features.select("loan_id").join(
            rates, on="loan_id", how="left", maintain_order="left"
        )
        return own.select(f"true_rate_{months}" for months in HORIZONS_MONTHS).to_numpy()

    def complete(self, early: TrainingSet) -> TrainingSet:
        """The same loans and features, with all that their workouts brought in the end."""
        ledger = pl.scan_parquet(self.folder / "truth" / "ledger_complete.parquet")
        meta = self.portfolio.meta.model_copy(update={"observed_until_date": _EVERYTHING_KNOWN})
        loans = early.features.select("loan_id").lazy()
        tape = self.portfolio.tape.join(loans, on="loan_id", how="semi", maintain_order="left")
        everything = Portfolio(meta=meta, tape=tape, ledger=ledger, path=None)
        return replace(early, outcomes=training_set(everything, spec=early.spec).outcomes)


def curve_section(folder: Path) -> str:
    """Text of the section on the curve, from a simulated portfolio's folder."""
    simulated = Simulated(read_portfolio(folder), folder)
    parts = [
        "## The recovery curve, month by month\n",
        "Mean absolute error of the forecast cumulative net recovery rate against the simulator's"
        " true curve of each loan, in rate points, and in brackets how far below chain-ladder it"
        " is. Segments are asset class by secured or not, developed by half-years; a new loan takes"
        " its segment's rate.\n",
        known_today(simulated),
        *(held_out_vintages(simulated, start) for start in HELD_OUT_FROM),
        open_workouts(simulated),
    ]
    return "\n".join(parts)


def known_today(simulated: Simulated) -> str:
    """All loans and the newest vintages, with what is known at the observation date."""
    data = training_set(simulated.portfolio)
    start = pl.lit(simulated.portfolio.meta.observed_until_date).dt.offset_by(f"-{NEWEST_MONTHS}mo")
    newest = data.outcomes.select(pl.col("vintage_date") > start).to_series().to_numpy()
    truth = simulated.truth(data)
    forecasts = {name: fit(data)(data) for name, fit in CANDIDATES.items()}
    return "\n".join(
        [
            f"### All {len(truth):,} loans, as known at the observation date\n",
            *error_table(forecasts, truth),
            f"\n### The newest of them: {newest.sum():,} loans of the last two years\n",
            *error_table({n: f[newest] for n, f in forecasts.items()}, truth[newest]),
            "",
        ]
    )


def held_out_vintages(simulated: Simulated, start: date) -> str:
    """Vintages from a day on, forecast with what was known on it."""
    split = hold_out(simulated.portfolio, start)
    truth = simulated.truth(split.test)
    forecasts = {name: fit(split.train)(split.test) for name, fit in CANDIDATES.items()}
    return "\n".join(
        [
            f"### Held out: {len(truth):,} loans with cut-offs from {start}\n",
            *error_table(forecasts, truth),
            "",
        ]
    )


def open_workouts(simulated: Simulated) -> str:
    """What it costs to learn from a snapshot in which most workouts are open."""
    portfolio = simulated.portfolio
    known_on = snapshot_day(portfolio)
    begun = pl.col("snapshot_date") < known_on
    early = training_set(replace(portfolio, tape=portfolio.tape.filter(begun)), known_on=known_on)
    late = training_set(replace(portfolio, tape=portfolio.tape.filter(~begun)), spec=early.spec)
    sources = {
        "full history": simulated.complete(early),
        "snapshot": early,
        "closed workouts only": without_open(early),
    }
    forecasters = {title: shipped(data) for title, data in sources.items()}
    still_open = 1 - early.outcomes["is_resolved"].sum() / early.outcomes.height
    lines = [
        f"### Open workouts: {early.outcomes.height:,} loans with cut-offs before {known_on},"
        f" {still_open:.0%} of them open on that day\n",
        "The same loans, learnt from three times: with every workout at its end, from the snapshot,"
        " and from its closed workouts alone, taken as final. In brackets the loss against the full"
        " history.\n",
    ]
    for judged, data in (("those loans", early), ("all later vintages", late)):
        truth = simulated.truth(data)
        lines.append(header(f"judged on {judged}"))
        full = errors(forecasters["full history"](data), truth)
        for title, forecast in forecasters.items():
            own = errors(forecast(data), truth)
            texts = [f"{e:.4f} ({e / f - 1:+.0%})" for e, f in zip(own, full, strict=False)]
            lines.append(row(title, texts))
        lines.append("")
    return "\n".join(lines)


def without_open(train: TrainingSet) -> TrainingSet:
    """The practice to be warned of: closed workouts alone, taken as watched to the end."""
    closed = train.rows(train.outcomes["closed_months"].is_not_null())
    limit = pl.lit(train.meta.max_workout_months, dtype=pl.Int32)
    return replace(closed, outcomes=closed.outcomes.with_columns(observed_months=limit))


def snapshot_day(portfolio: Portfolio) -> date:
    """Quarter's first day on which the share of open workouts was nearest to `OPEN_SHARE`."""
    loans = portfolio.tape.select("snapshot_date", "closed_date").collect()
    limit = (portfolio.meta.max_workout_months or 0) + portfolio.meta.reporting_lag_months

    def distance(day: date) -> float:
        begun = loans.filter(pl.col("snapshot_date") < day)
        over = pl.col("snapshot_date").dt.offset_by(f"{limit}mo") < day
        ended = begun.select((pl.col("closed_date") <= day).fill_null(False) | over).to_numpy()
        return abs(1 - float(ended.mean()) - OPEN_SHARE)

    # Late enough for the longest horizon to have been watched.
    first = min(loans["snapshot_date"].to_list()).year + limit // 12 + 1
    years = range(first, portfolio.meta.observed_until_date.year + 1)
    return min((date(year, month, 1) for year in years for month in (1, 4, 7, 10)), key=distance)


def errors(forecast: Array, truth: Array) -> Array:
    """Mean absolute error at each horizon that the forecast reaches."""
    return np.asarray(np.abs(forecast - truth[:, : forecast.shape[1]]).mean(axis=0))


def error_table(forecasts: dict[str, Array], truth: Array) -> list[str]:
    """Rows of errors, each with the cut against the yardstick; best of a column in bold."""
    figures = {name: errors(forecast, truth) for name, forecast in forecasts.items()}
    base = figures[YARDSTICK]
    best = np.min(list(figures.values()), axis=0)
    lines = [header("candidate")]
    for name, own in figures.items():
        texts = [f"{e:.4f}" if name == YARDSTICK else f"{e:.4f} ({e / b - 1:+.0%})"
                 for e, b in zip(own, base, strict=True)]  # fmt: skip
        marked = [
            f"**{text}**" if error == least else text
            for text, error, least in zip(texts, own, best, strict=True)
        ]
        lines.append(row(name, marked))
    return lines


def header(first: str) -> str:
    """Head of a table with a column a horizon."""
    names = " | ".join(f"{months} months" for months in HORIZONS_MONTHS)
    return f"| {first} | {names} |\n|---|{'---:|' * len(HORIZONS_MONTHS)}"


def row(name: str, cells: list[str]) -> str:
    """One row; horizons that were not reached stay empty."""
    padded = cells + ["–"] * (len(HORIZONS_MONTHS) - len(cells))
    return f"| {name} | {' | '.join(padded)} |"
