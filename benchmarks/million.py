"""A million loans simulated, checked, turned into features and scored in one run.

    python -m benchmarks.million [LOANS]

Prints seconds and peak memory by step. The model is trained on another, small portfolio first, so
that the run times what a valuation does.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from features.check import check_portfolio
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from models.scoring import score_loans
from training.dataset import training_set
from training.fit import fit_recovery
from training.settings import FitSettings


def main(loans: int) -> None:
    started = time.perf_counter()

    def tell(step: str) -> None:
        nonlocal started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{step:<28}{time.perf_counter() - started:8.1f} s   peak {peak:5.2f} GB", flush=True)
        started = time.perf_counter()

    with tempfile.TemporaryDirectory() as scratch:
        small, large = Path(scratch) / "small", Path(scratch) / "large"
        simulate(small, 5_000, 1)
        model = fit_recovery(training_set(read_portfolio(small)), FitSettings("deep", 0.5))
        tell("train on 5,000 loans")
        simulate(large, loans, 7)
        tell(f"simulate {loans:,} loans")
        checked = check_portfolio(read_portfolio(large))
        assert not checked.faults.number("error")
        tell("check")
        good = checked.portfolio
        scores = score_loans(model, good.tape, good.ledger)
        tell("features and scores")
        scores.write_parquet(Path(scratch) / "scores.parquet")
        tell("write scores")
        print(
            f"{scores.height:,} scored, expected {scores['expected_recovery_amount'].sum():,.0f}"
            f" of {scores['ead'].sum():,.0f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
