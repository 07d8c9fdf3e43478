"""Writes docs/tuning.md anew: `make tuning`, real files in NPL_DATA.

Tunes on the vintages before each headline split of `benchmarks/accuracy.py`, by the same code as
`npl tune`, and judges tuned against untuned settings on the held-out vintages, which no search saw.
"""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import HEAD, HEADLINES, ROOT, SOURCES, Fold, _imported, _split
from features.portfolio import Portfolio
from training.comparison import Gain, paired_gains
from training.errors import TrainingError
from training.evaluation import held_out
from training.fit import fit_recovery
from training.metrics import Accuracy, accuracy
from training.search import Budget
from training.settings import FitSettings
from training.train import data_hash
from training.tune import Searched, code_hash, kept, nest, tune_on
from training.tuned import Kept, Nested

Array = NDArray[np.float64]
# Trials of each search, and of each inside it: what fits in a quarter of an hour of one core.
TRIALS = {"lending_club": (30, 20), "sba_7a": (20, 12), "us_mortgage": (30, 20)}
OUTER_FOLDS = 2
STUDIES = ROOT / "build" / "tuning"
INTRODUCTION = """# Tuned against untuned, out of time

Written by `make tuning` (`benchmarks/tuning.py`); do not edit. Each search saw only the vintages
before the held-out ones; the held-out vintages chose nothing. Untuned is what `npl train` does by
itself: the best of four presets by walk-forward validation. Best is the best trial of the search.
Kept is what `npl tune` hands to `npl train`: the best trial only where the honest loss of the
search beats the untuned loss beyond noise, and no nested search came out worse; else untuned.

Loss: 1 - R2 against the mean of the earlier vintages, plus the mean squared cash deviation, over
expanding folds a quarter apart from what they are trained on. The loss of the best trial is
flattered; the honest loss takes on each fold the trial that was best on the others. Gains on the
held-out loans are of best over untuned, with standard errors from 1,000 paired bootstrap samples of
the loans; `*` is beyond two of them. That noise is between loans: a shock that a whole vintage
shares is not in it, but is in the standard error of the search's gain, which takes a quarter of
vintages as one observation (Student's t).

The first version of the rule took two standard errors whatever the number of quarters, and no veto.
It kept tuned settings for both mortgage splits, and both were worse on the held-out loans beyond
noise: three folds of one falling market teach its level. Few quarters and the veto were put right
after that was seen, so the mortgages are no test of the rule as it now stands. In the second
mortgage split the folds are searched without the hindsight that its fit has: `npl tune` has none.

Nested: the whole search repeated before each of the last two folds and judged on that fold, once a
set, where enough outcomes were known in time to search on the vintages before.
Optimism is the outer loss less the inner one; drift is the same for the untuned settings, which no
search has flattered, so that what is beyond drift is due to the search.
"""


@dataclass(frozen=True)
class Outcome:
    """Held-out forecasts of one headline, with the search behind them."""

    fold: Fold
    found: Searched
    nested: Nested | None
    figures: dict[str, Accuracy]
    gains: dict[str, Gain]

    @property
    def kept(self) -> Kept:
        return kept(self.found, self.nested)


def main() -> None:
    data = Path(os.environ.get("NPL_DATA", ROOT.parent / "shared" / "data"))
    searches: dict[tuple[object, ...], tuple[Searched, Nested | None]] = {}
    outcomes, sections = [], []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        portfolios = {name: _imported(name, data, scratch) for name in SOURCES}
        for fold in HEADLINES:
            key = (fold.source, fold.start, fold.hindsight)
            repeated = key in searches
            if not repeated:
                # Once a source: the nested searches of a later split repeat those of an earlier.
                first = all(known[0] != fold.source for known in searches if searches[known][1])
                searches[key] = _searched(fold, portfolios[fold.source], first)
            outcome = _judged(fold, portfolios[fold.source], *searches[key])
            outcomes.append(outcome)
            sections.append(_section(outcome, repeated))
    parts = [INTRODUCTION, _summary(outcomes), *sections]
    (ROOT / "docs" / "tuning.md").write_text("\n".join(parts), encoding="utf-8")


def _searched(fold: Fold, portfolio: Portfolio, nested: bool) -> tuple[Searched, Nested | None]:
    data = _split(fold, portfolio).train
    trials, inner = TRIALS[fold.source]
    # Trials of this very code and data are kept: a run that was cut short is taken up.
    made_by = f"{code_hash()[:12]}-{data_hash(portfolio)[:12]}"
    journal = str(STUDIES / f"{fold.source}-{fold.start}-{fold.hindsight}-{made_by}.journal")
    found = tune_on(data, journal, Budget(trials), {})
    for count in range(OUTER_FOLDS, 0, -1) if nested else ():
        # Where few outcomes were known in time, the vintages before a fold allow no search.
        with suppress(TrainingError):
            return found, nest(found.folds, count, journal, Budget(inner), {})
    return found, None


def _judged(fold: Fold, portfolio: Portfolio, found: Searched, nested: Nested | None) -> Outcome:
    split = _split(fold, portfolio)
    judged, actual = held_out(split.test, split.horizon_months)

    def forecast(settings: FitSettings) -> Array:
        return fit_recovery(split.train, settings).recovery_rate(judged.features)

    untuned, best = forecast(found.untuned), forecast(found.best)
    figures = {
        "untuned": accuracy(actual, untuned, judged.ead),
        "best": accuracy(actual, best, judged.ead),
    }
    return Outcome(fold, found, nested, figures, paired_gains(actual, untuned, best, judged.ead))


def _summary(outcomes: list[Outcome]) -> str:
    lines = [
        "| held out | kept | gain in the search | gain in RMSE, best over untuned | RMSE of what is"
        " kept, against untuned |\n|---|---|---:|---:|---|",
    ]
    for outcome in outcomes:
        found, gain = outcome.found, outcome.gains["RMSE"]
        if outcome.kept == "untuned":
            told = "the same"
        else:
            told = "better" if gain.gain > 0 else "worse"
            told += ", beyond noise" if abs(gain.gain) > 2 * gain.standard_error else ", in noise"
        lines.append(
            f"| {outcome.fold.title} | {outcome.kept} | {found.gain.gain:+.4f} +-"
            f" {found.gain.standard_error:.4f} | {_gain(gain, '.4f')} | {told} |"
        )
    beyond = [o.kept == "tuned" and o.gains["RMSE"].beyond_noise for o in outcomes]
    sets = {o.fold.source for o, good in zip(outcomes, beyond, strict=True) if good}
    if len(sets) == len(SOURCES):
        verdict = (
            "What `npl tune` keeps beats the untuned settings out of time by more than noise on all"
            " three sets."
        )
    else:
        kept_on = sorted({o.fold.source for o in outcomes if o.kept == "tuned"})
        verdict = (
            "Tuning does **not** beat the untuned settings out of time by more than noise on all"
            f" three sets: it does on {', '.join(sorted(sets)) or 'none'}. Tuned settings are kept"
            f" on {', '.join(kept_on) or 'none'}; where they are not, the simpler stand."
        )
    return "\n".join([*lines, "", verdict, ""])


def _gain(gain: Gain, form: str) -> str:
    star = " *" if abs(gain.gain) > 2 * gain.standard_error else ""
    return f"{gain.gain:+{form}} +- {gain.standard_error:{form}}{star}"


def _section(outcome: Outcome, repeated: bool) -> str:
    fold, nested = outcome.fold, outcome.nested
    lines = [f"## {fold.title}\n"]
    if not repeated:
        lines += [_told(outcome), ""]
    lines += [HEAD]
    for name, figure in outcome.figures.items():
        shipped = (name == "best") == (outcome.kept == "tuned")
        lines.append(
            f"| {name}{' (kept)' if shipped else ''} | {figure.r2:.4f} | {figure.mae:.4f} |"
            f" {figure.rmse:.4f} | {figure.spearman:.4f} | {figure.deviation:+.1%} |"
        )
    gains = ", ".join(f"{name} {_gain(gain, '.4f')}" for name, gain in outcome.gains.items())
    lines += ["", f"Gain of best over untuned: {gains}.", ""]
    if nested is not None and not repeated:
        lines += [_nested(nested), ""]
    return "\n".join(lines)


def _told(outcome: Outcome) -> str:
    found, gain = outcome.found, outcome.found.gain
    states = [trial.state for trial in found.trials]
    at = "ultimate" if found.folds.horizon_months is None else f"month {found.folds.horizon_months}"
    untuned = found.untuned
    vetoed = gain.beyond_noise and outcome.kept == "untuned"
    veto = ", by the veto of the nested search" if vetoed else ""
    return (
        f"{len(states)} trials, {states.count('pruned')} given up early, on {len(found.folds)}"
        f" folds judged at the {at}. Untuned: {untuned.trees_name} trees, linear weight"
        f" {untuned.linear_weight:g}. Best: {_described(found.best)}. Loss of the best"
        f" {found.best_loss:.4f}, honest {found.honest_loss:.4f}, untuned {found.untuned_loss:.4f};"
        f" gain {gain.gain:+.4f} +- {gain.standard_error:.4f} over {gain.quarters} quarters:"
        f" **{outcome.kept} kept**{veto}."
    )


def _described(settings: FitSettings) -> str:
    trees = settings.tree_settings
    groups = "all groups" if settings.groups is None else f"groups {', '.join(settings.groups)}"
    return (
        f"{trees.bags} x {trees.rounds} trees of depth {trees.max_depth} and {trees.num_leaves}"
        f" leaves at rate {trees.learning_rate:.3f}, {trees.min_data_in_leaf} loans a leaf, l2"
        f" {trees.lambda_l2:.1f}, fractions {trees.feature_fraction:.2f} of features and"
        f" {trees.bagging_fraction:.2f} of loans, linear weight {settings.linear_weight:.2f},"
        f" {settings.link}, half-life {settings.half_life_years:.1f} years, {groups}"
    )


def _nested(nested: Nested) -> str:
    lines = [
        "| nested, block from | loans | inner, best | outer, best | optimism | inner, untuned |"
        " outer, untuned | drift | kept |\n|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for fold in nested.folds:
        lines.append(
            f"| {fold.first_vintage} | {fold.loans:,} | {fold.inner_loss:.4f} |"
            f" {fold.outer_loss:.4f} | {fold.optimism:+.4f} | {fold.untuned_inner_loss:.4f} |"
            f" {fold.untuned_outer_loss:.4f} | {fold.drift:+.4f} | {fold.kept} |"
        )
    lines.append(
        f"\nOptimism of the search beyond drift {nested.optimism:+.4f}; gain of the best over"
        f" untuned, on these blocks, {nested.gain:+.4f} +- {nested.standard_error:.4f}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
