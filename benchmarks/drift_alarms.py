"""False alarms of drift: sound worlds, a champion, and nights on which nothing has changed.

    python -m benchmarks.drift_alarms [WORLDS] [LOANS] [NIGHTS]

Each world is simulated with a seed of its own. A champion is trained on what was known NIGHTS
quarters before the end of 2024, and each later night, a quarter apart, looks for drift, as `npl
retrain` does. Stated are the chances
that any feature, and that any cash, is told to have drifted on one night.
"""

import sys
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path

from benchmarks.night_world import deliver, month_ends
from features.check import check_portfolio
from features.portfolio import read_portfolio
from features.sources.simulated import simulate
from training.dataset import training_set
from training.drift import measure_drift
from training.fit import fit_recovery
from training.night_settings import DEFAULT
from training.settings import FitSettings

LAST, EVERY_MONTHS = date(2024, 12, 31), 3


def main(worlds: int, loans: int, nights: int) -> None:
    days = month_ends(LAST, nights * EVERY_MONTHS + 1)[::EVERY_MONTHS]
    looks, told, first = 0, Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(worlds):
            simulate(Path(scratch) / "world", loans, 500 + seed, LAST)
            world = check_portfolio(read_portfolio(Path(scratch) / "world")).portfolio
            known = deliver(world, days[0], Path(scratch) / "night")
            champion = fit_recovery(training_set(known), FitSettings())
            for number, day in enumerate(days[1:]):
                now = deliver(world, day, Path(scratch) / "night")
                drift = measure_drift(champion, now, DEFAULT.drift, DEFAULT.gate.most_loans)
                kinds = {one.kind for one in drift.cash if one.drifted}
                kinds |= {"features"} if any(one.drifted for one in drift.features) else set()
                kinds |= {"cash"} if drift.cash_drifted else set()
                told.update(kinds)
                first.update(kinds if number == 0 else ())
                looks += 1
                if kinds:
                    print(f"seed {500 + seed} {day}: {'; '.join(drift.alarms)}", flush=True)
    print(f"{worlds} worlds of {loans:,} loans, {looks} nights")
    for kind in ("features", "cash", "sudden", "level"):
        print(f"{kind}: {told[kind]} of {looks} nights ({told[kind] / looks:.1%}),"
              f" {first[kind]} of {worlds} first nights")  # fmt: skip
    print(
        f"stated: features {DEFAULT.drift.feature_chance:.0%}, cash {DEFAULT.drift.cash_chance:.0%}"
    )


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*(given + [20, 5_000, 4][len(given) :]))
