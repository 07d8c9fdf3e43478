"""`npl check`: all faults of a portfolio at once."""

from pathlib import Path
from typing import Annotated, Final

import typer

NAME: Final = "check"
SET_ASIDE: Final = "set_aside"


def run(
    portfolio: Annotated[Path, typer.Argument(help="Portfolio folder.")],
    strict: Annotated[bool, typer.Option(help="Exit with 3 if any row has an error.")] = False,
    show: Annotated[int, typer.Option(help="Faults to print one by one.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check every row; bad rows and all faults go to PORTFOLIO/set_aside, good rows stay usable."""
    from cli import console
    from features.check import check_portfolio
    from features.portfolio import read_portfolio

    checked = check_portfolio(read_portfolio(portfolio))
    files = checked.write_set_aside(portfolio / SET_ASIDE)
    good = checked.tape_rows - checked.tape_set_aside.height
    if as_json:
        console.print_json(
            {
                "portfolio": str(portfolio),
                "loans": checked.tape_rows,
                "usable_loans": good,
                "ledger_rows": checked.ledger_rows,
                "ledger_rows_set_aside": checked.ledger_set_aside.height,
                "faults": console.fault_counts(checked.faults),
                "files": [str(file) for file in files],
            }
        )
    else:
        console.print_faults(checked.faults, show)
        console.out.print(
            f"{good:,} of {checked.tape_rows:,} loans and"
            f" {checked.ledger_rows - checked.ledger_set_aside.height:,} of"
            f" {checked.ledger_rows:,} ledger rows are usable; faults are in {files[0]}",
            highlight=False,
        )
    if strict and checked.faults.number("error"):
        raise typer.Exit(3)
