"""How sure forecasts are, judged on later vintages: loans, packages, and what packages share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.portfolio import Portfolio, read_portfolio
from features.sources.simulated import simulate
from models.baselines import LabelledLoans, segment_mean
from models.intervals import RateDistribution
from models.package_distribution import SharedRisk, package_interval
from models.uncertainty import VintageBy
from training.dataset import TrainingSet, training_set
from training.interval_fit import LEAST_RESIDUALS, fit_rate_distribution
from training.settings import FitSettings
from training.shared_risk_fit import LEAST_VINTAGES, fit_shared_risk
from training.walk_forward import walk_forward_residuals

Array = NDArray[np.float64]
SIZES: Final = (200, 1_000, 5_000)
SIMULATED_LOANS: Final = 40_000
SIMULATED_SEEDS: Final = (11, 12, 13)
PACKAGES: Final = 10
_AGES: Final = ("months_since_default", "days_past_due", "months_on_book")
_HEAD_PACKAGES: Final = (
    "| set | loans | packages | vintages | covered | standard error | below P10 | above P90 |"
    " width | naive covers | naive at equal cover |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True)
class Trial:
    """A set to judge on, and how its vintages are walked.

    Attributes
    ----------
    name : str
        As shown.
    months : {3, 6, 12}
        Length of a vintage in months.
    horizon_months : int or None
        Horizon judged; None is the ultimate.
    starts : tuple of date
        First vintages of the walk-forward's blocks.
    first_judged : date
        Vintages from here on are judged.
    known_after_months : int
        A vintage tells nothing until this long after its end. 0 where outcomes are undated or
        taken with hindsight.
    settings : FitSettings
        Settings of every fit.
    vintage_by : {"cut_off_date", "origination_date"}
        What dates a vintage.
    hindsight : bool
        As in `walk_forward_residuals`.
    """

    name: str
    months: Literal[3, 6, 12]
    horizon_months: int | None
    starts: tuple[date, ...]
    first_judged: date
    settings: FitSettings
    known_after_months: int = 0
    vintage_by: VintageBy = "cut_off_date"
    hindsight: bool = False


def _yearly(first: int, last: int) -> tuple[date, ...]:
    return tuple(date(year, 1, 1) for year in range(first, last + 1))


def _half_yearly(first: int, last: int) -> tuple[date, ...]:
    return tuple(date(year, month, 1) for year in range(first, last + 1) for month in (1, 7))


SIMULATED: Final = Trial(
    "simulated",
    months=3,
    horizon_months=24,
    starts=(date(2017, 7, 1), *_yearly(2018, 2024)),
    first_judged=date(2021, 1, 1),
    settings=FitSettings("deep", 0.5),
    # The horizon and the reporting lag.
    known_after_months=25,
)
REAL: Final = {
    "sba_7a": Trial(
        "SBA",
        months=12,
        horizon_months=None,
        starts=_yearly(1997, 2011),
        first_judged=date(2001, 1, 1),
        settings=FitSettings("deep", 0.5),
    ),
    "lending_club": Trial(
        "LendingClub",
        months=6,
        horizon_months=None,
        starts=_half_yearly(2008, 2010),
        first_judged=date(2009, 7, 1),
        settings=FitSettings("shallow", 0.5),
        vintage_by="origination_date",
    ),
    "us_mortgage": Trial(
        "mortgages",
        months=6,
        horizon_months=60,
        starts=_half_yearly(2006, 2010),
        first_judged=date(2007, 7, 1),
        settings=FitSettings("shallow", 0.5),
        hindsight=True,
    ),
}


def distribution_section(portfolios: Mapping[str, Portfolio], scratch: Path) -> str:
    """Text of the section: `portfolios` holds the real sets by the names of `REAL`."""
    loans, packages = [], []
    for seed in SIMULATED_SEEDS:
        folder = scratch / f"distribution-{seed}"
        # Two years on, so that the last vintages too are known at the horizon.
        simulate(folder, SIMULATED_LOANS, seed, date(2027, 6, 30))
        one = judged(SIMULATED, read_portfolio(folder))
        loans.append(one[0])
        packages.append(one[1].with_columns(vintage=pl.col("vintage") + 10_000 * seed))
    by_set = {SIMULATED.name: (pl.concat(loans), pl.concat(packages))}
    by_set |= {trial.name: judged(trial, portfolios[name]) for name, trial in REAL.items()}
    sba_loans, sba_packages = by_set["SBA"]
    # The years asked for; the earlier ones are thin, and there so that eleven years are judged.
    late = sba_packages.filter(pl.col("vintage") >= 2006)
    by_set["SBA 2006-2011"] = (sba_loans.filter(pl.col("vintage") >= 2006), late)
    return "\n".join([_INTRODUCTION, *_loan_tables(by_set), *_package_tables(by_set)])


def judged(trial: Trial, portfolio: Portfolio) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Loans and packages of the judged vintages, with intervals made from earlier vintages."""
    data = training_set(portfolio, vintage_by=trial.vintage_by)
    residuals = walk_forward_residuals(
        data,
        trial.settings,
        trial.horizon_months,
        starts=trial.starts,
        hindsight=trial.hindsight,
    )
    return judged_residuals(trial, data, residuals)


def judged_residuals(
    trial: Trial, data: TrainingSet, residuals: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As `judged`, of residuals that are there already."""
    residuals = residuals.with_columns(vintage=_vintage(pl.col("vintage_date"), trial.months))
    vintages = residuals["vintage"].to_numpy()
    first = (trial.first_judged.year * 12 + trial.first_judged.month - 1) // trial.months
    rng = np.random.default_rng(20_150_101)
    loans, packages = [], []
    for vintage in range(first, int(vintages.max()) + 1):
        late = residuals.filter(pl.col("vintage") == vintage)
        wait = -(-trial.known_after_months // trial.months)
        early = residuals.filter(pl.col("vintage") < vintage - wait)
        if (
            late.height < 40
            or early.height < LEAST_RESIDUALS
            or early["vintage"].n_unique() < LEAST_VINTAGES
        ):
            continue
        distribution = fit_rate_distribution(early)
        shared = fit_shared_risk(early, trial.months)
        # What the shared component would move a forecast by: the earlier vintages' miss.
        sums = early.select(
            pl.col("ead").dot("realised_rate").alias("actual"),
            pl.col("ead").dot("forecast_rate").alias("forecast"),
        ).row(0)
        miss = sums[0] / sums[1] - 1
        late = late.with_columns(segment_rate=pl.Series(_segment_rate(data, early, late)))
        own = _judged_loans(data, late, distribution)
        loans.append(own.with_columns(vintage=pl.lit(vintage)))
        for size in SIZES:
            for number in range(PACKAGES):
                row = _judged_package(rng, late, size, distribution, shared, number, miss)
                packages.append(row | {"vintage": vintage, "size": size})
    return pl.concat(loans), pl.DataFrame(packages)


def _vintage(day: pl.Expr, months: int) -> pl.Expr:
    return ((day.dt.year().cast(pl.Int32) * 12 + day.dt.month() - 1) // months).alias("vintage")


def _segment_rate(data: TrainingSet, early: pl.DataFrame, late: pl.DataFrame) -> Array:
    seen = early.select("loan_id", "realised_rate").join(data.features, on="loan_id", how="left")
    asked = late.select("loan_id").join(
        data.features, on="loan_id", how="left", maintain_order="left"
    )
    labelled = LabelledLoans(data.spec, seen, seen["realised_rate"].to_numpy())
    return segment_mean(labelled)(asked)


def _judged_loans(
    data: TrainingSet, late: pl.DataFrame, distribution: RateDistribution
) -> pl.DataFrame:
    forecast, asset_class = late["forecast_rate"].to_numpy(), late["asset_class"]
    ends = distribution.quantiles(forecast, asset_class, np.array([0.1, 0.9]))
    actual = late["realised_rate"].to_numpy()
    clocks = [name for name in _AGES if name in data.spec.names and data.features[name].count()]
    ages = late.select("loan_id").join(
        data.features.select("loan_id", age=clocks[0]),
        on="loan_id",
        how="left",
        maintain_order="left",
    )["age"]
    return pl.DataFrame(
        {
            "asset_class": asset_class,
            "age": ages.cast(pl.Float64),
            "clock": [clocks[0]] * late.height,
            "below": actual < ends[:, 0],
            "above": actual > ends[:, 1],
            "width": ends[:, 1] - ends[:, 0],
            "nothing": distribution.probability_of_nothing(forecast, asset_class),
            "was_nothing": actual <= 0.005,
            "shortfall": distribution.expected_shortfall(forecast, asset_class),
        }
    )


def _judged_package(
    rng: np.random.Generator,
    late: pl.DataFrame,
    size: int,
    distribution: RateDistribution,
    shared: SharedRisk,
    seed: int,
    miss: float,
) -> dict[str, float]:
    """Draw one package and forecast it. A loan drawn twice is one claim of twice the size."""
    drawn = rng.choice(late.height, size, replace=size > late.height)
    rows, times = np.unique(drawn, return_counts=True)
    loans = late[rows.tolist()]
    ead = loans["ead"].to_numpy() * times
    forecast = loans["forecast_rate"].to_numpy()
    labels = loans["asset_class"], loans["vintage_date"], loans["region"]
    ours = package_interval(ead, forecast, *labels, distribution, shared, seed=seed)
    alone = package_interval(ead, forecast, *labels, distribution, SharedRisk.none(), seed=seed)
    actual = float((ead * loans["realised_rate"].to_numpy()).sum())
    total = ours.forecast_amount
    return {
        "actual": actual / total,
        "low": ours.low_amount / total,
        "high": ours.high_amount / total,
        "naive_low": alone.low_amount / total,
        "naive_high": alone.high_amount / total,
        "centred": 1 + miss,
        "segment": float((ead * loans["segment_rate"].to_numpy()).sum()) / total,
    }


_INTRODUCTION: Final = f"""## How sure

Every interval is the 80% one, P10 to P90, made from walk-forward residuals of earlier vintages
alone (`training/walk_forward.py`). Simulated: {len(SIMULATED_SEEDS)} seeds of
{SIMULATED_LOANS:,} loans, cash to month 24, every fold and every residual as known at the judged
vintage's own time. SBA by year of charge-off and LendingClub by half-year of issue have
undated outcomes, so earlier vintages are known in full. Mortgages by half-year of default, cash to
month 60, are walked with hindsight for the same reason. Packages are drawn from one vintage, with
replacement where it has fewer loans than the package: a loan drawn twice is one claim of twice the
size, as its outcome is one and the same.
"""


def _loan_tables(by_set: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]]) -> list[str]:
    lines = [
        "### Loans\n",
        "Outcomes at the very end of an interval are inside it: where many loans bring"
        " exactly nothing, P10 is nothing too and fewer than a tenth can lie below it. `nothing` is"
        " the mean forecast probability of a rate up to 0.005 and the share that came to be.\n",
        "| set | loans | covered | below P10 | above P90 | width | nothing: forecast | actual |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (loans, _) in by_set.items():
        lines.append(_loan_row(name, "all", loans))
        classes = loans["asset_class"].unique().sort().to_list()
        if len(classes) > 1:
            lines += [
                _loan_row(name, one, loans.filter(pl.col("asset_class") == one)) for one in classes
            ]
        ages = loans.filter(pl.col("age").is_not_null())
        edges = np.unique(np.quantile(ages["age"].to_numpy(), [0.25, 0.5, 0.75]))
        bands = np.searchsorted(edges, ages["age"].to_numpy(), side="right")
        for band in np.unique(bands):
            own = ages.filter(pl.Series(bands == band))
            low, high = own["age"].to_numpy().min(), own["age"].to_numpy().max()
            lines.append(_loan_row(name, f"{own['clock'][0]} {low:.0f} to {high:.0f}", own))
    return [*lines, ""]


def _loan_row(name: str, part: str, loans: pl.DataFrame) -> str:
    below, above = _mean(loans["below"]), _mean(loans["above"])
    return (
        f"| {name} | {part} ({loans.height:,}) | {1 - below - above:.1%} | {below:.1%} |"
        f" {above:.1%} | {_mean(loans['width']):.3f} | {_mean(loans['nothing']):.1%} |"
        f" {_mean(loans['was_nothing']):.1%} |"
    )


def _mean(values: pl.Series) -> float:
    return float(values.cast(pl.Float64).to_numpy().mean())


def _package_tables(by_set: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]]) -> list[str]:
    lines = [
        "### Packages\n",
        f"{PACKAGES} packages of each size from each judged vintage. Packages of one vintage share"
        " its luck: the evidence is as many vintages as stated, not as many packages, and the"
        " standard error of the coverage is that of a mean over vintages. Width is the"
        " mean of (P90 - P10) / forecast. `naive` is the interval of independent loans"
        " around the forecast; at equal cover, its width blown up by the one factor that covers as"
        " many packages, of that size.\n",
        _HEAD_PACKAGES,
    ]
    for name, (_, packages) in by_set.items():
        lines += [
            _package_row(name, f"{size:,}", packages.filter(pl.col("size") == size))
            for size in SIZES
        ]
        lines.append(_package_row(name, "all", packages))
    lines += [
        "",
        "### Packages of 1,000 loans: deviation\n",
        "Median of |actual / forecast - 1|, each forecast over its own total: the loans' forecasts"
        " alone, as shipped; with the mean of the shared component (the miss of the earlier"
        " vintages) taken in; and the segment mean of the same earlier loans.\n",
        "| set | without | with shared component | segment mean |\n|---|---:|---:|---:|",
    ]
    for name, (_, packages) in by_set.items():
        some = packages.filter(pl.col("size") == 1_000)
        actual = some["actual"].to_numpy()
        medians = [
            float(np.median(np.abs(actual / some[column].to_numpy() - 1)))
            for column in ("centred", "segment")
        ]
        raw = float(np.median(np.abs(actual - 1)))
        lines.append(f"| {name} | {raw:.1%} | {medians[0]:.1%} | {medians[1]:.1%} |")
    return [*lines, ""]


def _package_row(name: str, size: str, packages: pl.DataFrame) -> str:
    actual = packages["actual"].to_numpy()
    low, high = packages["low"].to_numpy(), packages["high"].to_numpy()
    naive = packages["naive_low"].to_numpy(), packages["naive_high"].to_numpy()
    below, above = float((actual < low).mean()), float((actual > high).mean())
    covered = 1 - below - above
    by_vintage = (
        packages.with_columns(inside=(actual >= low) & (actual <= high))
        .group_by("vintage")
        .agg(pl.col("inside").mean())["inside"]
    )
    error = float(by_vintage.to_numpy().std(ddof=1)) / np.sqrt(len(by_vintage))
    # How far each package lies outside or inside its naive interval, in half-widths.
    middle, half = (naive[0] + naive[1]) / 2, (naive[1] - naive[0]) / 2
    factor = float(np.quantile(np.abs(actual - middle) / half, covered, method="higher"))
    naive_covered = float((np.abs(actual - middle) <= half).mean())
    return (
        f"| {name} | {size} | {packages.height:,} | {packages['vintage'].n_unique()} |"
        f" {covered:.1%} | {error:.1%} | {below:.1%} | {above:.1%} | {(high - low).mean():.3f} |"
        f" {naive_covered:.1%} | {2 * (factor * half).mean():.3f} |"
    )
