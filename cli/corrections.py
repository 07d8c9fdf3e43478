"""`npl corrections`: propose corrections from a backtest, decide them, list them."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import polars as pl

    from models.correction import Correction, CorrectionsInForce

NAME: Final = "corrections"
app = typer.Typer(help="Corrections (修正) of forecasts by segment.", no_args_is_help=True)

_DAY: Final = ["%Y-%m-%d"]
Book = Annotated[Path, typer.Option(help="Book of corrections: JSON lines, only ever added to.")]
Identifier = Annotated[str, typer.Argument(help="Correction, as 'npl corrections list' names it.")]
By = Annotated[str, typer.Option(help="Name or key of who does this.")]
Reason = Annotated[str, typer.Option(help="Why, in words.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def propose(
    table: Annotated[Path, typer.Argument(help="Table of a backtest, parquet.")],
    book: Book,
    model: Annotated[Path, typer.Option(help="Bundle whose forecasts are corrected.")],
    dimension: Annotated[list[str], typer.Option(help="Segments; twice for combinations.")],
    before: Annotated[
        datetime, typer.Option(formats=_DAY, help="Fit on vintages before, for later.")
    ],
    by: By,
    reason: Reason,
    first_vintage: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="First vintage to fit on.")
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Months of the rates to fit on; default: the ultimate.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit credibility-weighted factors of segments that deviate, and write them in the book."""
    from cli import console
    from models.bundle import read_bundle
    from models.correction_book import CorrectionBook, read_book, write_book
    from training.backtest_schema import read_backtest
    from training.correction_fit import FitPlan, Origin, propose_corrections

    rows, digest = read_backtest(table)
    bundle = read_bundle(model)
    held = read_book(book) if book.exists() else CorrectionBook()
    plan = FitPlan(
        dimensions=tuple(dimension),
        before=before.date(),
        first_vintage=first_vintage.date() if first_vintage else None,
        horizon_months=horizon,
        vintage_by=bundle.model.uncertainty.vintage_by
        if bundle.model.uncertainty
        else "cut_off_date",
    )
    origin = Origin(digest, bundle.version, by, reason, _today())
    proposals = propose_corrections(rows, plan, origin)
    if proposals:
        held = held.propose(proposals)
        write_book(book, held)
    proposed = held.corrections[len(held.corrections) - len(proposals) :]
    if as_json:
        console.print_json(
            {"book": str(book), "version": held.version, "proposed": _told(proposed)}
        )
        return
    if not proposals:
        console.out.print("no segment deviates beyond chance: nothing is proposed")
        return
    _print(proposed, f"proposed in {book}")


@app.command()
def approve(
    identifier: Identifier,
    book: Book,
    by: By,
    reason: Reason,
    expires: Annotated[datetime, typer.Option(formats=_DAY, help="First day it is out of force.")],
    valid_from: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="First day in force; default: today.")
    ] = None,
) -> None:
    """Approve a proposal of somebody else, for a time."""
    from models.correction_book import read_book, write_book

    today = _today()
    start = valid_from.date() if valid_from else today
    held = read_book(book).approve(identifier, by, reason, today, start, expires.date())
    write_book(book, held)
    _say(f"{identifier} approved by {by}, in force from {start} until {expires.date()}")


@app.command()
def reject(identifier: Identifier, book: Book, by: By, reason: Reason) -> None:
    """Turn a proposal down."""
    from models.correction_book import read_book, write_book

    write_book(book, read_book(book).reject(identifier, by, reason, _today()))
    _say(f"{identifier} rejected by {by}")


@app.command()
def expire(identifier: Identifier, book: Book, by: By, reason: Reason) -> None:
    """End an approval before its date."""
    from models.correction_book import read_book, write_book

    write_book(book, read_book(book).expire(identifier, by, reason, _today()))
    _say(f"{identifier} expired by {by}")


@app.command("list")
def list_(
    book: Book,
    on: Annotated[
        datetime | None, typer.Option(formats=_DAY, help="States on this day; default: today.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every correction of a book with its state."""
    from cli import console
    from models.correction_book import read_book

    held, day = read_book(book), on.date() if on else _today()
    if as_json:
        console.print_json(
            {
                "book": str(book),
                "version": held.version,
                "corrections": _told(held.corrections, day),
            }
        )
        return
    _print(held.corrections, f"{book}, version {held.version}, on {day}", day)


def in_force(
    book: Path | None, valued_on: datetime | None, model_version: str
) -> "CorrectionsInForce | None":
    """Corrections of a book that apply to a model on the day of valuation; None without a book."""
    from models.correction_book import read_book

    if book is None:
        if valued_on is not None:
            raise typer.BadParameter("only with --corrections", param_hint="--valued-on")
        return None
    day = valued_on.date() if valued_on else _today()
    return read_book(book).in_force(day, model_version)


def correction_summary(held: "CorrectionsInForce", scores: "pl.DataFrame") -> dict[str, Any]:
    """What was in force, and how many loans took it."""
    return {
        "book_version": held.book_version,
        "valued_on": str(held.valued_on),
        "in_force": [correction.id for correction in held.corrections],
        "corrected_loans": int(scores["correction_id"].count()),
        "correction_amount": float((scores["points_correction"] * scores["ead"]).sum()),
    }


def _today() -> date:
    return datetime.now().astimezone().date()


def _say(text: str) -> None:
    from cli import console

    console.out.print(text, highlight=False, markup=False)


def _told(corrections: "tuple[Correction, ...]", day: date | None = None) -> list[dict[str, Any]]:
    on = day or _today()
    return [{"state": c.state(on)} | c.model_dump(mode="json") for c in corrections]


def _print(corrections: "tuple[Correction, ...]", title: str, day: date | None = None) -> None:
    from cli import console

    # Lines rather than a table: nine columns do not fit a terminal.
    lines = [title]
    for c in corrections:
        proposal, evidence = c.proposal, c.proposal.evidence
        state = c.state(day or _today())
        until = f" from {c.valid_from} until {c.expires_on}" if c.expires_on else ""
        lines.append(f"{c.id}  {state}{until}: {proposal.segment}")
        lines.append(
            f"  vintages from {proposal.vintages_from}: factor {proposal.factor:.4f}; ratio"
            f" {evidence.ratio:.4f} with credibility {proposal.credibility:.2f} on"
            f" {evidence.loans:,} loans, model {evidence.model_version}"
        )
        lines.append(f"  proposed by {proposal.proposed_by}: {proposal.reason}")
        if c.approver is not None:
            lines.append(f"  {c.decision} by {c.approver} on {c.decided_on}: {c.decision_reason}")
    for line in lines:
        console.out.print(line, highlight=False, markup=False, soft_wrap=True)
