"""Simulated Chinese NPL portfolios whose true expected recovery is known.

A portfolio is drawn package by package: claims, borrowers, collateral and cases at the cut-off,
then the workout's cash over five years. Levels follow published forecasts by asset class and
cut-off year; loans of a cut-off quarter, and of a province in a quarter, share a shock. What was
not yet in the books on the observation date is left out of the portfolio and kept with the truth.

Written into the portfolio's folder beside its own three files:

`truth/truth.parquet`
    A loan's true expected cumulative net recovery rates on the claim: `true_rate_*` given the
    shocks that were drawn, `prior_rate_*` in the mean over the shocks.
`truth/effects.parquet`, `truth/effects.csv`
    Each driver's effect on the link scale, a loan; and its mean absolute effect in rate points.
`truth/ledger_complete.parquet`
    The ledger as it is once every workout has ended.
`truth/truth.toml`
    The parameters.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import tomli_w

from features.errors import PortfolioError, SourceError
from features.horizons import HORIZONS_MONTHS
from features.portfolio import OWN_FILES, PortfolioMeta, write_portfolio
from features.replacing import replacing_folder
from features.sources.simulated_calibration import calibrate
from features.sources.simulated_cash import LATE_SHARE, draw_workouts
from features.sources.simulated_effects import Calibration, draw_block, logistic
from features.sources.simulated_facts import (
    FIRST_YEAR,
    LEVELS,
    SEGMENTS,
    WORKOUT_MONTHS,
)
from features.sources.simulated_frames import (
    CURRENCY,
    EXTRA_FIELDS,
    MISSING_SHARE,
    SOURCE_SYSTEM,
    ledger_frame,
    rates_frame,
    tape_frame,
)
from features.sources.simulated_packages import (
    MONTHS,
    REGION_SHOCK_SD,
    VINTAGE_SHOCK_SD,
    PackagePlan,
    Shocks,
    draw_packages,
    draw_shocks,
    places,
)
from features.sources.simulated_truth import all_effects, rate_points, total_link, true_rates
from features.tape import DISPOSALS

TRUTH_FOLDER: Final = "truth"
OBSERVED_UNTIL: Final = date(2024, 12, 31)
FEWEST_LOANS: Final = 100
_BLOCK_LOANS: Final = 50_000
# Cash is posted within days, but for the late postings that trickle in over half a year.
REPORTING_LAG_MONTHS: Final = 1
_NOTES: Final = (
    "Simulated: no figure of this portfolio is a finding about real loans.",
    "Published levels are gross of costs; the truth and its horizons are net.",
)


def simulate(
    folder: Path,
    loans: int,
    seed: int,
    observed_until_date: date = OBSERVED_UNTIL,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a simulated portfolio and its truth; an older portfolio of that name is replaced.

    The same arguments give the same bytes. With a later `observed_until_date` (from the end of 2024
    on) the loans and their workouts stay the same and more of the cash is known.

    Parameters
    ----------
    folder : Path
        Portfolio folder to write.
    loans : int
        Number of loans, at least 100.
    seed : int
        Any non-negative number.
    observed_until_date : date
        Last day of the books. Cut-offs are month ends from January 2015 to then, or to the end of
        2024.
    progress : callable, optional
        Called with the loans done and the loans in all.

    Raises
    ------
    SourceError
        When an argument is out of range.
    PortfolioError
        When `folder` exists and is something else than a portfolio.
    """
    months = _months_of_cut_offs(observed_until_date)
    if loans < FEWEST_LOANS:
        raise SourceError(f"loans: {loans} is too few for a portfolio; give {FEWEST_LOANS} or more")
    if seed < 0:
        raise SourceError(f"seed: {seed} is negative; give 0 or more")
    recipe = _Recipe(
        seed=seed,
        loans=loans,
        observed_until_date=observed_until_date,
        plan=draw_packages(_stream(seed, 0), loans, months),
        shocks=draw_shocks(_stream(seed, 1)),
        calibration=calibrate(),
    )
    with replacing_folder(folder, OWN_FILES, "portfolio", PortfolioError) as aside:
        blocks = Path(tempfile.mkdtemp(prefix=f".{folder.name}.blocks.", dir=folder.parent))
        try:
            points: dict[str, float] = {}
            for number, first in enumerate(range(0, loans, _BLOCK_LOANS)):
                size = min(_BLOCK_LOANS, loans - first)
                for name, total in _write_block(recipe, blocks, number, first, size).items():
                    points[name] = points.get(name, 0.0) + total
                if progress is not None:
                    progress(first + size, loans)
            _join_blocks(recipe, blocks, aside)
            _write_parameters(recipe, aside / TRUTH_FOLDER, points)
        finally:
            shutil.rmtree(blocks)


@dataclass(frozen=True)
class _Recipe:
    """What every block is drawn from."""

    seed: int
    loans: int
    observed_until_date: date
    plan: PackagePlan
    shocks: Shocks
    calibration: Calibration


def _stream(seed: int, *position: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=position))


def _months_of_cut_offs(observed_until_date: date) -> int:
    """Count the month ends from the first cut-off to the observation date."""
    next_day = observed_until_date + timedelta(days=1)
    months = (next_day.year - FIRST_YEAR) * 12 + next_day.month - 1
    if months < 1:
        raise SourceError(
            f"observed_until_date: {observed_until_date} is before the first cut-off;"
            f" give {FIRST_YEAR}-01-31 or later"
        )
    return min(months, MONTHS)


def _write_block(
    recipe: _Recipe, blocks: Path, number: int, first: int, size: int
) -> dict[str, float]:
    """Draw a block and write its tables; return the sum of each driver's absolute rate points."""
    rng = _stream(recipe.seed, 2, number)
    where, plan = places(), recipe.plan
    package = np.searchsorted(plan.first_loan, np.arange(first, first + size), side="right") - 1
    loans, paid_before = draw_block(rng, package, plan, where)
    effects = all_effects(loans, recipe.calibration, recipe.shocks)
    base = recipe.calibration.base
    endings, paid_after = draw_workouts(rng, loans, logistic(total_link(effects, base)))
    observed_until = np.datetime64(recipe.observed_until_date, "D")
    still_open = endings["closed_date"] > observed_until
    loans["closed_date"] = np.where(still_open, np.datetime64("NaT", "D"), endings["closed_date"])
    loans["disposal_status"] = np.where(
        still_open, DISPOSALS.index("open"), endings["disposal_status"]
    )
    complete = ledger_frame((paid_before, paid_after), loans, first)
    tables = {
        "tape": tape_frame(rng, loans, plan, where, first),
        "ledger": complete.filter(pl.col("recorded_at").dt.date() <= recipe.observed_until_date),
        "ledger_complete": complete,
        "truth": rates_frame(true_rates(loans, effects, base), first),
        "effects": rates_frame(effects, first),
    }
    for table, frame in tables.items():
        frame.write_parquet(blocks / f"{table}.{number:05d}.parquet")
    return {
        name: float(np.abs(points).sum())
        for name, points in rate_points(loans, effects, base).items()
    }


def _join_blocks(recipe: _Recipe, blocks: Path, folder: Path) -> None:
    def whole(table: str) -> pl.LazyFrame:
        return pl.scan_parquet(sorted(blocks.glob(f"{table}.*.parquet")))

    meta = PortfolioMeta(
        name=f"simulated-{recipe.loans}-{recipe.seed}",
        source_system=SOURCE_SYSTEM,
        currency=CURRENCY,
        observed_until_date=recipe.observed_until_date,
        recovery_basis="claim",
        recovery_timing="monthly",
        max_workout_months=WORKOUT_MONTHS,
        reporting_lag_months=REPORTING_LAG_MONTHS,
        extra_fields=EXTRA_FIELDS,
        notes=_NOTES,
    )
    write_portfolio(folder, meta, whole("tape"), whole("ledger"))
    truth = folder / TRUTH_FOLDER
    truth.mkdir()
    for table in ("truth", "effects", "ledger_complete"):
        whole(table).sink_parquet(truth / f"{table}.parquet")


def _write_parameters(recipe: _Recipe, truth: Path, points: dict[str, float]) -> None:
    parameters = {
        "seed": recipe.seed,
        "loans": recipe.loans,
        "observed_until_date": recipe.observed_until_date,
        "workout_months": WORKOUT_MONTHS,
        "horizons_months": list(HORIZONS_MONTHS),
        "link": "logit of the expected gross recovery rate on the claim at 60 months",
        "link_base": recipe.calibration.base,
        "vintage_shock_sd": VINTAGE_SHOCK_SD,
        "region_shock_sd": REGION_SHOCK_SD,
        "late_posting_share": LATE_SHARE,
        "first_cut_off_year": FIRST_YEAR,
        "gross_level_by_cut_off_year": dict(zip(SEGMENTS, LEVELS.tolist(), strict=True)),
        "missing_share": MISSING_SHARE,
    }
    (truth / "truth.toml").write_text(tomli_w.dumps(parameters), encoding="utf-8")
    sizes = pl.DataFrame(
        {
            "driver": list(points),
            "mean_absolute_effect_rate": [total / recipe.loans for total in points.values()],
        }
    )
    sizes.sort("mean_absolute_effect_rate", "driver", descending=[True, False]).write_csv(
        truth / "effects.csv"
    )
