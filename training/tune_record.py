"""What a tuning run keeps: the budget, every trial, the verdict and the search's own optimism."""

import polars as pl

from training.settings import FitSettings
from training.tracking import TrackedRun
from training.tuned import Tuned

_LOSSES = ("best_loss", "honest_loss", "untuned_loss", "gain", "standard_error")


def record_tuning(run: TrackedRun, tuned: Tuned) -> None:
    """Write a search down in its run.

    Parameters: what was searched and the settings kept. Metrics: `trial_loss` by the number of the
    trial, the losses of the verdict, and `outer_loss`, `inner_loss` by outer fold where the search
    was nested. Tables: `trials`, `nested`. `tuned.json` is the file `npl train --tuned` takes.
    """
    run.tags({"spec_hash": tuned.spec_hash, "kept": tuned.kept})
    run.parameters(
        {
            "study": tuned.study,
            "seed": tuned.seed,
            "held_out_from": tuned.held_out_from,
            "judged_at_months": tuned.horizon_months or "ultimate",
            "gap_months": tuned.gap_months,
            "kept": tuned.kept,
            "settings": tuned.settings.as_document(),
        }
    )
    run.metrics({name: getattr(tuned, name) for name in _LOSSES})
    run.metrics({"trials": len(tuned.trials)})
    for trial in tuned.trials:
        run.metrics({"trial_loss": trial.loss}, trial.number)
    run.table("trials", trial_table(tuned))
    if tuned.nested is not None:
        for place, fold in enumerate(tuned.nested.folds):
            run.metrics({"outer_loss": fold.outer_loss, "inner_loss": fold.inner_loss}, place)
        run.metrics({"optimism": tuned.nested.optimism, "nested_gain": tuned.nested.gain})
        run.table("nested", pl.DataFrame([fold.model_dump() for fold in tuned.nested.folds]))
    run.text("tuned.json", tuned.model_dump_json(indent=1))
    run.describe(
        f"{tuned.verdict}. {len(tuned.trials)} trials; best {tuned.best_loss:.4f}, flattered by the"
        f" choice; best of the other folds {tuned.honest_loss:.4f}; untuned"
        f" {tuned.untuned_loss:.4f}. Vintages from {tuned.held_out_from} were not looked at."
    )


def trial_table(tuned: Tuned) -> pl.DataFrame:
    """Trials as rows: number, state, loss, seconds, attempts, error and the settings, flat."""
    return pl.DataFrame(
        [
            {
                "trial": trial.number,
                "state": trial.state,
                "loss": trial.loss,
                "seconds": trial.seconds,
                "attempts": trial.attempts,
                "error": trial.error,
                **_flat(trial.settings),
            }
            for trial in tuned.trials
        ],
        infer_schema_length=None,
    )


def _flat(settings: FitSettings) -> dict[str, str | float | int | None]:
    groups = settings.groups
    return {
        "linear_weight": settings.linear_weight,
        "link": settings.link,
        "half_life_years": settings.half_life_years,
        "groups": None if groups is None else " ".join(groups),
        **vars(settings.tree_settings),
    }
