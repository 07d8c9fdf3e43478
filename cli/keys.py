"""`npl keys`: API keys of the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    import sqlalchemy as sa

NAME: Final = "keys"
app: Final = typer.Typer(help="API keys of the service.", no_args_is_help=True)
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the service.")]
Database = Annotated[str | None, typer.Option("--database", help="Database URL.")]


def _engine(data: Path | None, database: str | None) -> "sa.Engine":
    from cli.serve import settings_of
    from service.storage import open_database

    return open_database(settings_of(data=data, database=database))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[str, typer.Option(help="valuer, reviewer or operator.")] = "valuer",
    requests_per_minute: Annotated[int | None, typer.Option(min=1, help="Its own limit.")] = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Make a key; it is shown once."""
    from service.keys import ROLES, create_key

    roles = {known: known for known in ROLES}
    if role not in roles:
        raise typer.BadParameter(f"{role!r}: choose {', '.join(ROLES)}", param_hint="--role")
    key, secret = create_key(_engine(data, database), name, roles[role], requests_per_minute)
    typer.echo(f"{key.id} ({key.role}, {key.name})")
    typer.echo(secret)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="First column of 'npl keys list'.")],
    data: Data = None,
    database: Database = None,
) -> None:
    """Make a key worthless, within two seconds."""
    from service.keys import revoke_key

    revoke_key(_engine(data, database), key_id)
    typer.echo(f"{key_id} is revoked")


@app.command(name="list")
def list_all(data: Data = None, database: Database = None) -> None:
    """Show all keys; never the keys themselves."""
    from cli import console
    from service.keys import list_keys

    rows = [vars(key) for key in list_keys(_engine(data, database))]
    columns = ("id", "role", "created_at", "revoked_at", "requests_per_minute", "name")
    console.print_table(rows, "API keys", dict.fromkeys(columns, "") | {"id": "s"})
