"""`npl models`: the registered versions, which one is champion, and where each comes from."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models.reference import DEFAULT_NAME

if TYPE_CHECKING:
    from models.registered import RegisteredVersion

NAME: Final = "models"
_FORMATS: Final = {
    "version": "d",
    "alias": "s",
    "bundle": "s",
    "portfolio": "s",
    "data_hash": "s",
    "registered": "s",
}
# Enough of a hash to be told from others and to be searched by; the day of a time.
_SHORT: Final = 8
_DAY: Final = 10

app = typer.Typer(help="List, show, promote and roll back registered models.", no_args_is_help=True)
Name = Annotated[str, typer.Option(help="Registered model.")]
Which = Annotated[str, typer.Argument(help="Version number, champion or challenger.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_versions(
    name: Name = DEFAULT_NAME,
    data_hash: Annotated[
        str, typer.Option(help="Only versions trained on the data of this hash, or its beginning.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the versions of a registered model, the newest first."""
    from cli import console
    from models import registry
    from models.mlflow_store import Store

    found = registry.versions(Store.of_environment(), name, data_hash)
    if as_json:
        console.print_json({"name": name, "versions": [v.as_document() for v in found]})
        return
    console.print_table([_row(version) for version in found], name, _FORMATS)


@app.command()
def show(version: Which, name: Name = DEFAULT_NAME, as_json: AsJson = False) -> None:
    """Show where a version comes from: data, features, code, parameters, run."""
    from cli import console
    from models import registry
    from models.mlflow_store import Store
    from models.reference import registered

    lineage = registry.show(Store.of_environment(), registered(version, name))
    about = lineage.of.as_document()
    run = {"run_name": lineage.run_name, "run_status": lineage.run_status}
    if as_json:
        console.print_json(
            about
            | run
            | {
                "former_champions": list(lineage.former_champions),
                "parameters": lineage.parameters,
                "metrics": lineage.metrics,
            }
        )
        return
    aliases = ", ".join(lineage.of.aliases) or "–"
    former = ", ".join(map(str, lineage.former_champions)) or "–"
    told = about | {"aliases": aliases} | run | {"former_champions": former}
    for key, value in told.items():
        console.out.print(
            f"{key.replace('_', ' ')}: {value or '–'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for title, values in (("parameters", lineage.parameters), ("metrics", lineage.metrics)):
        rows: list[dict[str, Any]] = [{"name": k, "value": str(v)} for k, v in values.items()]
        console.print_table(rows, title, {"name": "s", "value": "s"})


@app.command()
def promote(version: Which, name: Name = DEFAULT_NAME, as_json: AsJson = False) -> None:
    """Make a version champion; the former champion is kept for rollback."""
    from models import registry
    from models.mlflow_store import Store
    from models.reference import registered

    _tell(registry.promote(Store.of_environment(), registered(version, name)), as_json)


@app.command()
def rollback(name: Name = DEFAULT_NAME, as_json: AsJson = False) -> None:
    """Make the former champion the champion again."""
    from models import registry
    from models.mlflow_store import Store

    _tell(registry.rollback(Store.of_environment(), name), as_json)


def _tell(champion: "RegisteredVersion", as_json: bool) -> None:
    from cli import console

    if as_json:
        console.print_json(champion.as_document())
        return
    console.out.print(
        f"champion of {champion.name} is now version {champion.version},"
        f" bundle {champion.bundle_version}",
        highlight=False,
    )


def _row(version: "RegisteredVersion") -> dict[str, Any]:
    return {
        "version": version.version,
        "alias": ", ".join(version.aliases) or None,
        "bundle": version.bundle_version[:_SHORT],
        "portfolio": version.portfolio,
        "data_hash": version.data_hash[:_SHORT],
        "registered": version.registered_at[:_DAY],
    }
