"""How often the monitoring of a sound forecast warns, month by month over two years.

    python -m benchmarks.monitoring [LOANS] [SEEDS]

The forecast is the simulator's own expectation in the mean over its shocks, and the shared risk is
that of those shocks: nothing is wrong, so every warning is a false alarm. Then all cash after month
6 is cut by 40%, and every package without a warning is one missed.
"""

import sys
import tempfile
from datetime import date
from pathlib import Path

import polars as pl

from benchmarks.night_world import month_ends
from features.portfolio import read_portfolio
from features.region import region_expression
from features.sources.simulated import simulate
from features.sources.simulated_packages import REGION_SHOCK_SD, VINTAGE_SHOCK_SD
from models.monitoring import LEVEL, LiveForecasts, lumpiness, monitor
from models.package_distribution import SharedRisk

START, MONTHS, CUT_FROM, CUT = date(2021, 12, 31), 24, 6, 0.6


def watched(folder: Path, loans: int, seed: int, cut: bool) -> pl.DataFrame:
    """A row a package and look: age, warning."""
    simulate(folder, loans, seed, date(2026, 12, 31))
    whole = read_portfolio(folder)
    truth = pl.read_parquet(folder / "truth" / "truth.parquet")
    rates = [pl.col(f"prior_rate_{h}").alias(f"recovery_rate_{h:02d}m")
             for h in (6, 12, 24, 36, 48, 60)]  # fmt: skip
    new = (pl.col("snapshot_date") > START) & (pl.col("snapshot_date") <= date(2022, 12, 31))
    claim = pl.sum_horizontal("principal_outstanding", "interest_outstanding", "fees_outstanding")
    tape = whole.tape.filter(new).select(
        "loan_id", "package_id", "borrower_adcode",
        asset_class=pl.col("asset_class").cast(pl.String),
        cut_off_date="snapshot_date", ead=claim, model_version=pl.lit("1"),
    )  # fmt: skip
    forecasts = (
        tape.with_columns(region=region_expression("borrower_adcode"))
        .collect()
        .join(truth.select("loan_id", *rates), on="loan_id")
    )
    ledger = whole.ledger
    if cut:
        since = pl.col("period") >= date(2022, 12, 1)
        ledger = ledger.with_columns(
            pl.when(since).then(pl.col("gross_amount") * CUT).otherwise("gross_amount")
            .alias("gross_amount")
        )  # fmt: skip

    def known(day: date) -> object:
        meta = whole.meta.model_copy(update={"observed_until_date": day})
        then = ledger.filter(pl.col("recorded_at").dt.date() <= day).collect().lazy()
        return type(whole)(meta, whole.tape.filter(pl.col("snapshot_date") <= day), then)

    lumps = lumpiness(known(START))  # type: ignore[arg-type]
    ead, due = (forecasts[name].to_numpy() for name in ("ead", "recovery_rate_60m"))
    mean = float((ead * due).sum() / ead.sum())
    # A shock of the logit moves a rate p by (1 - p) of itself.
    shared = SharedRisk(
        vintage_months=3, vintages=40,
        vintage_sd=VINTAGE_SHOCK_SD * (1 - mean), region_sd=REGION_SHOCK_SD * (1 - mean),
    )  # fmt: skip
    looks = []
    for day in month_ends(date(2023, 12, 31), MONTHS):
        loans_now = LiveForecasts.of(forecasts, known(day)).to_date()  # type: ignore[arg-type]
        if loans_now.height:
            looks.append(monitor(loans_now, lumps, shared).with_columns(look=pl.lit(day)))
    return pl.concat(looks)


def main(loans: int, seeds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for cut in (False, True):
            tables = [
                watched(Path(scratch) / "p", loans, seed, cut).with_columns(seed=pl.lit(seed))
                for seed in range(1, seeds + 1)
            ]
            table = pl.concat(tables)
            warned = pl.col("warning").is_not_null()
            below = pl.col("warning") == "below"
            a_look = table.select(any=warned.mean(), low=below.fill_null(False).mean()).row(0)
            packages = table.group_by("seed", "package_id").agg(
                ever=warned.any(), below=below.fill_null(False).any(), loans=pl.col("loans").max()
            )
            ever = packages.select("ever", "below").mean().row(0)
            print(
                f"{'cash cut by 40% from December 2022' if cut else 'nothing wrong'}:"
                f" {packages.height} packages of {int(packages['loans'].to_numpy().mean())} loans,"
                f" {table.height:,} looks at level {LEVEL}: warned at {a_look[0]:.2%} of looks"
                f" (below {a_look[1]:.2%}); ever in the time {ever[0]:.1%} (below {ever[1]:.1%})"
            )


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    main(*(numbers or [20_000, 10]))
