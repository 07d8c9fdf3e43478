"""`npl simulate`: a generated Chinese portfolio with its truth beside it."""

from pathlib import Path
from typing import Annotated, Final

import typer

NAME: Final = "simulate"


def run(
    out: Annotated[Path, typer.Option(help="Folder to write the portfolio to.")],
    loans: Annotated[int, typer.Option(help="Number of loans, 100 or more.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Generate a portfolio of Chinese non-performing loans with a known truth."""
    from cli import console
    from features.sources.simulated import simulate

    with console.progress("simulating") as report:
        simulate(out, loans, seed, progress=report)
    if as_json:
        console.print_json({"portfolio": str(out), "loans": loans, "seed": seed})
    else:
        console.err.print(f"{loans:,} loans in {out}; the truth is in {out / 'truth'}")
