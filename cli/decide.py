"""`npl decide`: what a person decides of models, on the record."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from models.reference import DEFAULT_NAME

if TYPE_CHECKING:
    from models.mlflow_store import Store as _Mlflow

NAME: Final = "decide"

app = typer.Typer(
    help="Approve or reject a held challenger, or go back to the former champion.",
    no_args_is_help=True,
)
Store = Annotated[Path, typer.Option(help="Portfolio store, which keeps the record.")]
By = Annotated[str, typer.Option(help="Who answers for it.")]
Reason = Annotated[str, typer.Option(help="Why.")]
Name = Annotated[str, typer.Option(help="Registered model.")]


@app.command()
def approve(store: Store, by: By, reason: Reason, name: Name = DEFAULT_NAME) -> None:
    """Make the challenger that the gate held the champion."""
    from training.approval import settle

    _tell(settle(store, _mlflow(), "approve", by, reason, name))


@app.command()
def reject(store: Store, by: By, reason: Reason, name: Name = DEFAULT_NAME) -> None:
    """Leave the champion as it is."""
    from training.approval import settle

    _tell(settle(store, _mlflow(), "reject", by, reason, name))


@app.command()
def rollback(store: Store, by: By, reason: Reason, name: Name = DEFAULT_NAME) -> None:
    """Make the former champion the champion again."""
    from training.approval import roll_back

    _tell(roll_back(store, _mlflow(), by, reason, name))


def _mlflow() -> "_Mlflow":
    from models.mlflow_store import Store as Mlflow

    return Mlflow.of_environment()


def _tell(decision: dict[str, Any]) -> None:
    typer.echo(json.dumps(decision, ensure_ascii=False, sort_keys=True))
