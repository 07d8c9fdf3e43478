"""Size and power of the gate on simulated cash, where how good each forecast is is known.

    python -m benchmarks.gate [TRIES] [LOANS]

A forecast is the simulator's own expectation (in the mean over its shocks) with an error on the
logit: half of its variance by asset class and region, half by loan. Champion and challenger have
errors of their own. Cash is as it was drawn, shocks and all, over three months of 2024. Two tries a
seed. Promotion takes the paired test and every other check of the gate.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.portfolio import read_portfolio
from features.recent_cash import latest_window, loans_in
from features.sources.simulated import simulate
from training.night_settings import DEFAULT
from training.promotion import Shipment, Trial, judge

Array = NDArray[np.float64]
HORIZONS = (6, 12, 24, 36, 48, 60)
# Standard deviation of the error on the logit: champion, challenger.
CASES = {
    "much worse": (0.3, 0.9),
    "worse": (0.3, 0.6),
    "as good": (0.6, 0.6),
    "better": (0.9, 0.6),
    "much better": (0.9, 0.3),
    "best possible": (0.9, 0.0),
}
SHIPMENT = Shipment(parity=True, seconds=0.1, megabytes=1.0, coverage=0.8)


def world(folder: Path, loans: int, seed: int) -> tuple[pl.DataFrame, Array]:
    """Loans on trial with their cells, and their expected curve, shape (loans, 0 and horizons)."""
    simulate(folder, loans, seed)
    portfolio = read_portfolio(folder)
    window = latest_window(portfolio.meta, DEFAULT.gate.trial_months)
    found = loans_in(portfolio, window, 10**6)
    facts = portfolio.tape.select("loan_id", province=pl.col("borrower_adcode").str.head(2))
    truth = pl.read_parquet(folder / "truth" / "truth.parquet")
    rates = [name for name in truth.columns if name.startswith("prior_rate_")][: len(HORIZONS)]
    joined = found.join(facts.collect(), on="loan_id", how="left").join(truth, on="loan_id")
    curve = np.column_stack([np.zeros(joined.height), joined.select(rates).to_numpy()])
    return joined, curve


def forecast(
    rng: np.random.Generator, loans: pl.DataFrame, curve: Array, spread: float
) -> tuple[Array, Array]:
    """Window and ultimate rates of a forecast with an error on the logit."""
    cell = loans.select(pl.struct("asset_class", "province").rank("dense") - 1).to_series()
    place = cell.to_numpy().astype(np.int64)
    error = rng.normal(0, 1, place.max() + 1)[place] + rng.normal(0, 1, loans.height)
    ultimate = np.clip(curve[:, -1], 1e-4, 1 - 1e-4)
    moved = 1 / (1 + np.exp(-(np.log(ultimate / (1 - ultimate)) + spread * error / np.sqrt(2))))
    ages = np.array([0, *HORIZONS], dtype=np.float64)
    rows = np.arange(loans.height)

    def at(name: str) -> Array:
        age = np.clip(loans[name].to_numpy().astype(np.float64), 0, ages[-1])
        later = np.clip(np.searchsorted(ages, age), 1, len(ages) - 1)
        share = (age - ages[later - 1]) / (ages[later] - ages[later - 1])
        before, after = curve[rows, later - 1], curve[rows, later]
        return np.asarray(before + share * (after - before))

    return (at("to_months") - at("from_months")) * moved / ultimate, moved


def main(tries: int, size: int) -> None:
    decided: dict[str, Counter[str]] = {name: Counter() for name in CASES}
    blamed: dict[str, Counter[str]] = {name: Counter() for name in CASES}
    with tempfile.TemporaryDirectory() as scratch:
        for attempt in range(tries):
            if attempt % 2 == 0:
                loans, curve = world(Path(scratch) / "p", size, 1_000 + attempt)
            for number, (name, (champion, challenger)) in enumerate(CASES.items()):
                rng = np.random.default_rng((attempt, number))
                theirs, theirs_whole = forecast(rng, loans, curve, champion)
                ours, ours_whole = forecast(rng, loans, curve, challenger)
                trial = Trial(
                    vintage=loans["vintage"].to_numpy(),
                    asset_class=loans["asset_class"].to_numpy(),
                    ead=loans["ead_amount"].to_numpy(),
                    actual=loans["actual_rate"].to_numpy(),
                    champion=theirs,
                    challenger=ours,
                    champion_ultimate=theirs_whole,
                    challenger_ultimate=ours_whole,
                    shipped_ultimate=ours_whole,
                )
                found = judge(trial, SHIPMENT, DEFAULT.gate)
                decided[name][found.decision] += 1
                paired = next(check for check in found.checks if check.name == "comparison")
                decided[name]["comparison passed"] += paired.verdict == "pass"
                for check in found.checks:
                    blamed[name][check.name] += check.verdict == "fail"
    print(f"{tries} tries of {size:,} loans, level {DEFAULT.gate.level}")
    for name, (champion, challenger) in CASES.items():
        told = decided[name]
        failed = ", ".join(f"{k} {v}" for k, v in blamed[name].most_common() if v)
        print(
            f"{name:<14} error {champion:.1f} against {challenger:.1f}: promoted"
            f" {told['promote']:>3}, paired test passed {told['comparison passed']:>3};"
            f" failed: {failed}"
        )


if __name__ == "__main__":
    arguments = [int(one) for one in sys.argv[1:]]
    main(*(arguments or [200]), *([] if len(arguments) > 1 else [10_000]))
