"""`npl tune`: settings searched for on the training vintages, kept only where they gain."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

if TYPE_CHECKING:
    from training.settings import FitSettings
    from training.tuned import Tuned

NAME: Final = "tune"
_TRIALS: Final = 40
_SHOWN: Final = 10
_TRIAL_FORMATS: Final = {
    "trial": "s",
    "loss": ".4f",
    "trees": "s",
    "linear": ".2f",
    "link": "s",
    "half_life": ".1f",
    "without": "s",
}
_NESTED_FORMATS: Final = {
    "first_vintage": "s",
    "loans": ",d",
    "inner_loss": ".4f",
    "outer_loss": ".4f",
    "optimism": "+.4f",
    "untuned_inner_loss": ".4f",
    "untuned_outer_loss": ".4f",
    "drift": "+.4f",
    "kept": "s",
}


def run(
    portfolio: Annotated[Path, typer.Argument(help="Portfolio folder.")],
    study: Annotated[
        str, typer.Option(help="Where trials are kept: a journal file, or a database URL.")
    ],
    out: Annotated[Path, typer.Option(help="File to write the outcome to (JSON).")],
    trials: Annotated[
        int | None,
        typer.Option(min=1, help=f"Trials in all, over workers and resumed runs. [{_TRIALS}]"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Wall-clock minutes of this run.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the study.")] = 1,
    nested: Annotated[
        int, typer.Option(min=0, help="Outer folds that measure the search's own optimism.")
    ] = 0,
    held_out_from: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First vintage never looked at; as 'npl train'."),
    ] = None,
    vintage_by: Annotated[
        Literal["cut_off_date", "origination_date"], typer.Option(help="What dates a vintage.")
    ] = "cut_off_date",
    strict: Annotated[bool, typer.Option(help="Refuse a portfolio with any error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Search for better settings; the same command again takes up a run that was cut short."""
    from cli import console
    from cli.train import usable_portfolio
    from training.search import Budget
    from training.tracking import tracked_run
    from training.tune import tune
    from training.tune_record import record_tuning
    from training.tuned import write_tuned

    if trials is None and minutes is None:
        trials = _TRIALS
    usable = usable_portfolio(portfolio, strict)
    with console.err.status("tuning"), tracked_run("tune", usable) as run:
        tuned = tune(
            usable,
            study,
            Budget(trials, minutes, workers),
            start=held_out_from.date() if held_out_from else None,
            vintage_by=vintage_by,
            nested=nested,
        )
        write_tuned(out, tuned)
        record_tuning(run, tuned)
    if as_json:
        told = {"tuned": str(out), "verdict": tuned.verdict, "trials": len(tuned.trials)}
        fields = ("kept", "best_loss", "honest_loss", "untuned_loss", "gain", "standard_error")
        told |= {name: getattr(tuned, name) for name in fields}
        told["settings"] = tuned.settings.as_document()
        told["nested"] = None if tuned.nested is None else _nested_rows(tuned)
        console.print_json(told)
    else:
        _print(tuned, out)


def _print(tuned: "Tuned", out: Path) -> None:
    from cli import console

    def say(text: str) -> None:
        console.out.print(text, highlight=False, markup=False)

    ranked = sorted(tuned.trials, key=lambda t: (t.loss is None, t.loss or 0.0, t.number))
    rows = [
        _trial_row(trial.number, trial.loss, trial.settings, tuned) for trial in ranked[:_SHOWN]
    ]
    states = [trial.state for trial in tuned.trials]
    lost = sum(trial.attempts - 1 for trial in tuned.trials)
    title = f"the {len(rows)} best of {len(states)} trials, {states.count('pruned')} given up early"
    console.print_table(rows, title, _TRIAL_FORMATS)
    if lost:
        say(f"{lost} attempts were cut short and made again")
    at = "ultimate" if tuned.horizon_months is None else f"{tuned.horizon_months} months"
    say("trees: bags x rounds / depth; half life in years")
    say(f"loss: 1 - R2 against the earlier vintages' mean, plus squared cash deviation; {at}")
    say(f"best trial {tuned.best_loss:.4f}, flattered by the choice")
    say(f"best of the other folds, fold by fold {tuned.honest_loss:.4f}")
    say(f"untuned {tuned.untuned_loss:.4f}")
    if tuned.nested is not None:
        console.print_table(
            _nested_rows(tuned), "nested: a search before each block", _NESTED_FORMATS
        )
        say(
            f"optimism of the search, beyond drift: {tuned.nested.optimism:+.4f}; gain of the best"
            f" over untuned: {tuned.nested.gain:+.4f} +- {tuned.nested.standard_error:.4f}"
        )
    say(tuned.verdict)
    say(f"settings in {out}; npl train --tuned {out}")


def _trial_row(
    number: int, loss: float | None, settings: "FitSettings", tuned: "Tuned"
) -> dict[str, Any]:
    trees = settings.tree_settings
    every = {group for trial in tuned.trials for group in trial.settings.groups or ()}
    left_out = every - set(settings.groups or every)
    return {
        "trial": str(number),
        "loss": loss,
        # Bags, rounds and depth.
        "trees": f"{trees.bags}x{trees.rounds}/{trees.max_depth}",
        "linear": settings.linear_weight,
        "link": settings.link,
        "half_life": settings.half_life_years,
        "without": ", ".join(sorted(left_out)) or "–",
    }


def _nested_rows(tuned: "Tuned") -> list[dict[str, Any]]:
    folds = tuned.nested.folds if tuned.nested is not None else ()
    return [fold.model_dump() | {"optimism": fold.optimism, "drift": fold.drift} for fold in folds]
