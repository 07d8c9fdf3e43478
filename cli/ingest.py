"""`npl ingest`: a delivery into the portfolio store."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

NAME: Final = "ingest"
_FAULTS_SHOWN: Final = 20


def run(
    portfolio: Annotated[Path, typer.Argument(help="Portfolio folder that was delivered.")],
    into: Annotated[Path, typer.Option(help="Store; made by the first delivery.")],
    restates: Annotated[
        bool,
        typer.Option(help="What it says of a loan's month is all of that month's cash."),
    ] = False,
    known_at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="UTC moment it became known, to load an archive; default: now.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Add what is new to the store; what is known is passed over, what contradicts is refused."""
    from cli import console
    from features.ingest import ingest
    from features.portfolio import read_portfolio

    moment = known_at.replace(tzinfo=UTC) if known_at else None
    found = ingest(read_portfolio(portfolio), into, restates=restates, known_at=moment)
    number = found.commit.number if found.commit else None
    if as_json:
        faults = found.checked.faults if found.checked else None
        console.print_json(
            {
                "store": str(into),
                "commit": number,
                "counts": found.counts,
                "faults": console.fault_counts(faults) if faults else None,
            }
        )
        return
    if found.checked is not None:
        console.print_faults(found.checked.faults, _FAULTS_SHOWN)
    if found.commit is None:
        console.out.print(f"nothing new; {into} is as it was", highlight=False)
        return
    rows = [{"rows": name.replace("_", " "), "count": n} for name, n in found.counts.items()]
    console.print_table(rows, f"commit {number} of {into}", {"rows": "s", "count": ",d"})
