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
        typer.Option(formats=["%Y-%m-%d"], help="The night of an earlier day, as known then."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="File (.prom) for Prometheus' textfile collector.")
    ] = None,
) -> None:
    """Look at what is new, train where due, promote or refuse, and leave a report.

    Prints one line of JSON. Exit codes beside those of 'npl': 0 promoted, refused or nothing due; 5
    another night is at work; 6 held for a decision by hand ('npl decide').
    """
    from cli import console
    from models.mlflow_store import Store
    from training.night_outcome import exit_code, write_metrics
    from training.night_settings import DEFAULT, NightSettings
    from training.nightly import run_night
    from training.tuned import read_tuned

    chosen = NightSettings.read(settings) if settings else DEFAULT
    result, seconds = run_night(
        store,
        Store.of_environment(),
        chosen,
        name=name,
        tuned=read_tuned(tuned) if tuned else None,
        forced=force,
        as_of=as_of.date() if as_of else None,
        tell=lambda step: console.err.print(f"step {step}", highlight=False),
    )
    if metrics is not None:
        write_metrics(metrics, result, seconds)
    typer.echo(json.dumps(result, ensure_ascii=False, sort_keys=True))
    raise typer.Exit(exit_code(result["outcome"]))
