"""`npl serve`: the scoring service over HTTP."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

NAME: Final = "serve"


def run(
    model: Annotated[
        str | None, typer.Option(help="Bundle folder, champion, or models:/NAME/3.")
    ] = None,
    shadow: Annotated[
        str | None,
        typer.Option(help="Challenger that scores in the shadow, named as the model; none."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address; 127.0.0.1 by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8000 by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of its database and files.")] = None,
    database: Annotated[str | None, typer.Option(help="Database URL; SQLite by default.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Book of 'npl corrections' to apply what is in force of.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Portfolio store, to follow valued packages by.")
    ] = None,
) -> None:
    """Serve forecasts over HTTP; every setting is an environment variable NPL_... too."""
    from service.server import serve

    given = {
        "model": model,
        "shadow": shadow,
        "host": host,
        "port": port,
        "corrections": corrections,
        "store": store,
    }
    serve(settings_of(data=data, database=database, **given))


def settings_of(
    *,
    data: Path | None = None,
    database: str | None = None,
    **given: Any,
) -> Any:
    """Settings of the environment, with what was given on the command line."""
    from service.settings import Settings

    named = given | {"data_folder": data, "database_url": database}
    return Settings(**{name: value for name, value in named.items() if value is not None})
