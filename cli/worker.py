"""`npl worker`: works on the packages of a service, beside it."""

import signal
import threading
from pathlib import Path
from typing import Annotated, Final

import typer

NAME: Final = "worker"


def run(
    model: Annotated[
        str | None, typer.Option(help="Bundle folder, champion, or models:/NAME/3.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the service.")] = None,
    database: Annotated[str | None, typer.Option(help="Database URL.")] = None,
    corrections: Annotated[Path | None, typer.Option(help="Book of 'npl corrections'.")] = None,
) -> None:
    """Take packages from the queue until told to stop."""
    from cli.serve import settings_of
    from service.corrections import CorrectionsInService
    from service.logs import set_up_logs
    from service.served import ModelInService
    from service.storage import open_database
    from service.worker import Worker

    set_up_logs()
    settings = settings_of(model=model, data=data, database=database, corrections=corrections)
    engine = open_database(settings)
    held = ModelInService(settings.model, settings.data_folder / "bundles")
    approved = CorrectionsInService(settings.corrections, settings.data_folder / "corrections")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    threading.Thread(target=held.watch, args=(settings, stopping), daemon=True).start()
    typer.echo(f"worker ready, model {held.served.version}")
    Worker(settings, engine, held, approved, stopping).run()
