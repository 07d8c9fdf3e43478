"""`npl score`: one scored row for every row of a tape, in input order."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import polars as pl

NAME: Final = "score"
_FAULTS_SHOWN: Final = 10


def run(
    tape: Annotated[Path, typer.Argument(help="Portfolio folder, or a tape: parquet, CSV, XLSX.")],
    model: Annotated[
        str,
        typer.Option(
            help="Bundle folder; or champion, challenger; or models:/NAME/3, models:/NAME@ALIAS."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Scores: .parquet, .csv or .xlsx.")],
    explain: Annotated[bool, typer.Option(help="Add the factors of each forecast.")] = False,
    cut_off: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Value at this later day; default: tape's own."),
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="Spreadsheets: mapping of headers.")] = None,
    corrections: Annotated[
        Path | None, typer.Option(help="Book of 'npl corrections': apply those in force.")
    ] = None,
    valued_on: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Day of valuation, for corrections; default: today."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse a tape with any error.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Forecast how much of each loan is recovered, and when; say why where asked."""
    from cli import console
    from cli.corrections import correction_summary, in_force
    from cli.model_choice import chosen_bundle
    from cli.outputs import refuse_unknown_format, write_table
    from models.scoring import score_loans
    from models.tape_file import checked_input

    refuse_unknown_format(out)
    bundle = chosen_bundle(model)
    held = in_force(corrections, valued_on, bundle.version)
    checked = checked_input(tape, bundle, mapping, strict=strict)
    refuse_unknown_format(out, checked.rows())
    with console.progress("scoring") as report:
        scores = score_loans(
            bundle.model,
            checked.tape,
            checked.ledger,
            explain=explain,
            cut_off_date=cut_off.date() if cut_off else None,
            progress=report,
            corrections=held,
        )
    scores = checked.complete(scores)
    write_table(scores, out)
    summary = summarise(scores)
    corrected = None if held is None else correction_summary(held, scores)
    if as_json:
        about = {"scores": str(out), "model": bundle.version, "notes": bundle.notes}
        rest = {"corrections": corrected, "faults": console.fault_counts(checked.faults)}
        console.print_json(about | summary | rest)
        return
    if checked.faults.tally.height:
        console.print_faults(checked.faults, _FAULTS_SHOWN)
    for note in bundle.notes:
        console.out.print(f"note: {note}", highlight=False, markup=False)
    reasons = summary.pop("unscored_reasons")
    for name, value in summary.items():
        text = "–" if value is None else format(value, ".4f" if name.endswith("rate") else ",")
        console.out.print(f"{name.replace('_', ' ')}: {text}", highlight=False)
    for reason, loans in reasons.items():
        console.out.print(f"  not scored, {loans:,}: {reason}", highlight=False, markup=False)
    if corrected is not None:
        console.out.print(
            f"corrected loans: {corrected['corrected_loans']:,}, by"
            f" {', '.join(corrected['in_force']) or 'no correction'} in force on"
            f" {corrected['valued_on']}, book {corrected['book_version']}",
            highlight=False,
        )
    console.out.print(f"scores in {out}, model {bundle.version}", highlight=False)


def summarise(scores: "pl.DataFrame") -> dict[str, Any]:
    """Totals of a scored tape; every row is counted as scored or by its reason."""
    import polars as pl

    scored = scores.filter(pl.col("reason").is_null())
    reasons = scores.filter(pl.col("reason").is_not_null()).group_by("reason").len()
    ead = float(scored["ead"].sum())
    expected = float(scored["expected_recovery_amount"].sum())
    return {
        "loans": scores.height,
        "scored": scored.height,
        "not_scored": scores.height - scored.height,
        "flagged": int((scored["flags"] != "").sum()),
        "ead": round(ead, 2),
        "expected_recovery_amount": round(expected, 2),
        "recovery_rate": expected / ead if ead else None,
        "unscored_reasons": dict(reasons.sort("len", "reason", descending=[True, False]).rows()),
    }
