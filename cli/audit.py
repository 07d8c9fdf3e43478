"""`npl audit`: the record of valuations."""

from pathlib import Path
from typing import Annotated, Final

import typer

NAME: Final = "audit"
app: Final = typer.Typer(help="The record of valuations.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Group of one verb for now."""


@app.command()
def verify(
    data: Annotated[Path | None, typer.Option(help="Folder of the service.")] = None,
    database: Annotated[str | None, typer.Option(help="Database URL.")] = None,
) -> None:
    """Read the whole chain; exit with 3 if an entry was changed, removed or put in."""
    from cli.serve import settings_of
    from service.audit import verify as verified
    from service.storage import existing_database

    verdict = verified(existing_database(settings_of(data=data, database=database)))
    for fault in verdict.faults:
        typer.echo(fault, err=True)
    told = "broken" if verdict.faults else "whole"
    typer.echo(f"{verdict.entries:,} entries on record, the chain is {told}")
    if verdict.faults:
        raise typer.Exit(3)
