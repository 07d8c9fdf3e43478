"""How often the first package that a new champion scores takes it back.

    python -m benchmarks.first_scores [LOANS] [SEEDS]

A model of one simulated portfolio scores packages of others, a package at a time as the first that
it meets. The sound model should be told of none, models that learnt from a part of the cash of
many. Packages of fewer loans than the service waits for are left out.
"""

import sys
import tempfile
from pathlib import Path

import polars as pl

from features.check import check_portfolio
from features.portfolio import Portfolio, read_portfolio
from features.sources.result import no_ledger
from features.sources.simulated import simulate
from models.first_scores import ExpectedScores, leaves_range
from models.recovery import RecoveryModel
from models.scoring import score_loans
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings

LEAST_LOANS = 100
AMOUNTS = ("gross_amount", "collateral_amount", "cost_amount")


def world(folder: Path, loans: int, seed: int) -> Portfolio:
    simulate(folder, loans, seed)
    return check_portfolio(read_portfolio(folder)).portfolio


def learnt_from(portfolio: Portfolio, share: float) -> RecoveryModel:
    ledger = portfolio.ledger.with_columns(pl.col(name) * share for name in AMOUNTS)
    return fit_recovery(training_set(portfolio.with_tables(portfolio.tape, ledger)), FitSettings())


def told(model: RecoveryModel, expected: ExpectedScores, tape: pl.DataFrame) -> tuple[int, int]:
    """Packages looked at, and packages told of."""
    looked = found = 0
    for package in tape.partition_by("package_id"):
        if package.height < LEAST_LOANS:
            continue
        looked += 1
        rates = score_loans(model, package, no_ledger())["recovery_rate"].to_numpy()
        why = leaves_range(expected, rates, package["asset_class"].cast(pl.String))
        found += why is not None
    return looked, found


def main(loans: int, seeds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = world(Path(scratch, "home"), loans, 1)
        models = {
            "sound": learnt_from(home, 1.0),
            "learnt from 0.7 of the cash": learnt_from(home, 0.7),
            "learnt from half of the cash": learnt_from(home, 0.5),
            "learnt from a tenth of the cash": learnt_from(home, 0.1),
        }
        scores = score_loans(models["sound"], home.tape, home.ledger)
        classes = home.tape.select(pl.col("asset_class").cast(pl.String)).collect().to_series()
        expected = ExpectedScores.of(scores["recovery_rate"].to_numpy(), classes)
        counts = {name: [0, 0] for name in models}
        for seed in range(2, seeds + 2):
            there = world(Path(scratch, f"there-{seed}"), loans, seed)
            tape = there.tape.drop("closed_date", "disposal_status").collect()
            for name, model in models.items():
                looked, found = told(model, expected, tape)
                counts[name][0] += looked
                counts[name][1] += found
        for name, (looked, found) in counts.items():
            print(f"{name}: {found} of {looked} packages of {LEAST_LOANS} loans or more told")


if __name__ == "__main__":
    numbers = [int(one) for one in sys.argv[1:]]
    main(*(numbers or [6_000, 5]))
