"""`npl retrain`: one night, unattended."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from models.reference import DEFAULT_NAME

NAME: Final = "retrain"


def run(
    store: Annotated[Path, typer.Option(help="Portfolio store; see 'npl ingest'.")],
    settings: Annotated[
        Path | None, typer.Option(help="TOML file of settings; default: built in.")
    ] = None,
    tuned: Annotated[
        Path | None, typer.Option(help="Outcome of 'npl tune'; default: as the champion.")
    ] = None,
    name: Annotated[str, typer.Option(help="Registered model.")] = DEFAULT_NAME,
    force: Annotated[bool, typer.Option(help="Train whether due or not.")] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Do the night of that day again, apart, and tell whether it comes to the same.",
        ),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="File (.prom) for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Look at what is new, train where due, promote or refuse, and leave a report.

    Prints one line of JSON. Exit codes beside those of 'npl': 0 promoted, refused or nothing due; 5
    another night is at work; 6 held for a decision by hand ('npl decide'); 8 with --as-of, the past
    night came out otherwise.
    """
    from cli import console
    from models.mlflow_store import Store
    from training.night_again import repeat_night
    from training.night_outcome import DIFFERS_EXIT, exit_code, write_metrics
    from training.night_settings import DEFAULT, NightSettings
    from training.nightly import run_night
    from training.tuned import read_tuned

    if as_of is not None and metrics is not None:
        raise typer.BadParameter("only without --as-of: it tells of nights that are done now",
                                 param_hint="--metrics")  # fmt: skip
    mlflow, chosen = Store.of_environment(), NightSettings.read(settings) if settings else DEFAULT
    search = read_tuned(tuned) if tuned else None

    def tell(step: str) -> None:
        console.err.print(f"step {step}", highlight=False)

    if as_of is not None:
        found = repeat_night(
            store, mlflow, chosen, as_of.date(), name=name, tuned=search, forced=force, tell=tell
        )
        typer.echo(json.dumps(found, ensure_ascii=False, sort_keys=True))
        raise typer.Exit(0 if found["same"] else DIFFERS_EXIT)
    result, seconds = run_night(
        store, mlflow, chosen, name=name, tuned=search, forced=force, tell=tell
    )
    if metrics is not None:
        write_metrics(metrics, result, seconds)
    typer.echo(json.dumps(result, ensure_ascii=False, sort_keys=True))
    raise typer.Exit(exit_code(result["outcome"]))
