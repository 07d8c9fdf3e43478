"""`npl train`: a model bundle, with its out-of-time accuracy beside every baseline."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from models.reference import DEFAULT_NAME

if TYPE_CHECKING:
    from features.portfolio import Portfolio
    from models.mlflow_store import Store
    from models.registered import RegisteredVersion
    from models.uncertainty import VintageBy
    from training.holdout import Holdout
    from training.train import Trained
    from training.tuned import Tuned

NAME: Final = "train"
ACCURACY_FORMATS: Final = {
    "model": "s",
    "loans": ",d",
    "r2": ".4f",
    "mae": ".4f",
    "rmse": ".4f",
    "spearman": ".4f",
    "deviation": "+.2%",
}


def run(
    portfolio: Annotated[Path, typer.Argument(help="Portfolio folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    held_out_from: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First held-out vintage; default: newest fifth."),
    ] = None,
    vintage_by: Annotated[
        Literal["cut_off_date", "origination_date"], typer.Option(help="What dates a vintage.")
    ] = "cut_off_date",
    tuned: Annotated[
        Path | None, typer.Option(help="Outcome of 'npl tune'; default: the best of four presets.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse a portfolio with any error.")] = False,
    name: Annotated[str, typer.Option(help="Registered model it becomes a version of.")] = (
        DEFAULT_NAME
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train, judge out of time beside every baseline, write a bundle and register it.

    The first version of a registered model is its champion, a later one its challenger.
    """
    from cli import console
    from features.replacing import refuse_occupied
    from models.bundle import OWN_FILES
    from models.errors import BundleError
    from models.mlflow_store import Store
    from training.holdout import hold_out
    from training.tuned import read_tuned

    refuse_occupied(out, OWN_FILES, "model bundle", BundleError)
    found = read_tuned(tuned) if tuned else None
    usable = usable_portfolio(portfolio, strict)
    start = held_out_from.date() if held_out_from else None
    with console.err.status("training"):
        trained, registered = tracked_training(
            usable,
            out,
            Store.of_environment(),
            name,
            hold_out(usable, start, vintage_by),
            vintage_by,
            found,
        )
    if as_json:
        settings = trained.choice.settings
        console.print_json(
            {
                "bundle": str(out),
                "version": trained.bundle.version,
                "registered": registered.as_document(),
                "settings": settings.as_document(),
                "accuracy": trained.bundle.accuracy,
                "notes": trained.bundle.notes,
            }
        )
    else:
        print_accuracy(trained)
        console.out.print(
            f"bundle {trained.bundle.version} in {out}, registered as {registered.name}"
            f" {registered.version}, {', '.join(registered.aliases)}",
            highlight=False,
        )


def tracked_training(
    portfolio: "Portfolio",
    out: Path,
    store: "Store",
    name: str,
    holdout: "Holdout | None" = None,
    vintage_by: "VintageBy" = "cut_off_date",
    tuned: "Tuned | None" = None,
) -> "tuple[Trained, RegisteredVersion]":
    """Train in an MLflow run, write the bundle to `out`, and register it.

    Raises
    ------
    StoreError
        When MLflow's store cannot be reached or written.
    TrainingError, BundleError
        As `training.train.train` and `models.bundle.write_bundle`.
    """
    from models import registry
    from models.bundle import write_bundle
    from training.tracking import tracked_run
    from training.train import train
    from training.train_record import record_training

    with tracked_run("train", portfolio, store=store) as run:
        trained = train(portfolio, holdout, vintage_by, tuned)
        write_bundle(out, trained.bundle)
        record_training(run, trained)
        return trained, registry.register(store, out, run.run_id, name)


def usable_portfolio(folder: Path, strict: bool) -> "Portfolio":
    """Rows of a portfolio fit to be learnt from, telling what was left out.

    Raises
    ------
    PortfolioError
        When `strict` and any row has an error.
    """
    from cli import console
    from features.check import check_portfolio
    from features.portfolio import read_portfolio

    checked = check_portfolio(read_portfolio(folder))
    if strict:
        checked.require_clean()
    usable = checked.portfolio
    # Loans that lost cash to a bad ledger row have outcomes that are not known.
    if checked.incomplete_loans.height:
        incomplete = checked.incomplete_loans.lazy()
        usable = usable.with_tables(
            usable.tape.join(incomplete, on="loan_id", how="anti", maintain_order="left"),
            usable.ledger,
        )
    left_out = checked.tape_set_aside.height + checked.incomplete_loans.height
    if left_out:
        console.err.print(
            f"{left_out:,} of {checked.tape_rows:,} loans are left out for their faults;"
            f" 'npl check {folder}' tells them",
            highlight=False,
        )
    return usable


def print_accuracy(trained: "Trained") -> None:
    """Print the out-of-time table and what it says."""
    from cli import console

    split = trained.holdout
    at = "ultimate" if split.horizon_months is None else f"{split.horizon_months} months"
    console.print_table(
        trained.bundle.accuracy,
        f"out of time: vintages from {split.start}, net recovery rate, {at}",
        ACCURACY_FORMATS,
    )
    console.out.print(
        "deviation: (actual - forecast) / forecast cash, by EAD; negative: forecast too high",
        highlight=False,
    )
    for note in trained.bundle.notes:
        console.out.print(f"note: {note}", highlight=False, markup=False)
