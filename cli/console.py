"""What the verbs share: where messages go, progress, tables, and JSON for machines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from features.faults import Faults
from models.scoring import Progress as Report

# Results go to standard output; what happens on the way to standard error.
out = Console()
err = Console(stderr=True)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1, default=str))


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """Show a progress bar on a terminal and give the function that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task(description, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def print_table(rows: list[dict[str, Any]], title: str, formats: dict[str, str]) -> None:
    """Print rows as a table; `formats` gives the columns, in order, and how to write them."""
    table = Table(title=title, title_justify="left")
    for name, pattern in formats.items():
        # Names are there to be copied: the first column is never cut.
        first = not table.columns
        justify: Literal["left", "right"] = "left" if pattern == "s" else "right"
        table.add_column(name.replace("_", " "), justify=justify, no_wrap=first)
    for row in rows:
        table.add_row(*(_written(row[name], pattern) for name, pattern in formats.items()))
    out.print(table)


def _written(value: object, pattern: str) -> str:
    return "–" if value is None else format(value, pattern)


def print_faults(faults: Faults, limit: int) -> None:
    """Print faults by rule with their counts, then the first of them one by one."""
    if not faults.tally.height:
        err.print("no faults", highlight=False)
        return
    rows = faults.tally.sort("severity", "faults", descending=[False, True]).to_dicts()
    print_table(
        rows,
        "faults by rule",
        {"severity": "s", "rule": "s", "file": "s", "field": "s", "faults": ",d"},
    )
    for line in faults.messages(limit):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    hidden = int(faults.tally["faults"].sum()) - min(limit, faults.listed.height)
    if hidden > 0:
        out.print(f"... and {hidden:,} more; all are counted above", highlight=False)


def fault_counts(faults: Faults) -> dict[str, Any]:
    """Faults for machines: numbers by severity and by rule."""
    return {
        "errors": faults.number("error"),
        "warnings": faults.number("warning"),
        "by_rule": faults.counts(),
    }
