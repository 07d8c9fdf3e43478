"""`npl import`: a publisher's or delivered file into a portfolio."""

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

NAME: Final = "import"
_FAULTS_SHOWN: Final = 20


def run(
    source: Annotated[
        Literal["lending_club", "sba_7a", "us_mortgage", "spreadsheet"],
        typer.Argument(help="Whose file it is."),
    ],
    raw: Annotated[Path, typer.Argument(help="The file: CSV, gzip CSV, parquet; or XLSX, CSV.")],
    out: Annotated[Path, typer.Option(help="Folder to write the portfolio to.")],
    mapping: Annotated[
        Path | None, typer.Option(help="Spreadsheets: TOML file that maps headers and codes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Turn a published or delivered file into a portfolio, accounting for every row."""
    from cli import console
    from features.check import check_portfolio
    from features.faults import Faults
    from features.portfolio import read_portfolio, write_portfolio
    from features.sources import lending_club, sba_7a, spreadsheet, us_mortgage

    if mapping is not None and source != "spreadsheet":
        raise typer.BadParameter("only a spreadsheet takes a mapping", param_hint="--mapping")
    if source == "spreadsheet":
        sheet = spreadsheet.read(raw, mapping)
        console.err.print(str(sheet.report), highlight=False, markup=False)
        result = sheet
    else:
        readers = {"lending_club": lending_club, "sba_7a": sba_7a, "us_mortgage": us_mortgage}
        result = readers[source].read(raw)
    write_portfolio(out, result.meta, result.tape, result.ledger)
    checked = check_portfolio(read_portfolio(out))
    faults = Faults.merged(Faults.of_source(result.faults), checked.faults)
    if as_json:
        console.print_json(
            {
                "portfolio": str(out),
                "account": result.account.to_dicts(),
                "faults": console.fault_counts(faults),
                "notes": list(result.meta.notes),
            }
        )
        return
    console.print_table(result.account.to_dicts(), f"{raw.name}: rows", {"step": "s", "rows": ",d"})
    for note in result.meta.notes:
        console.out.print(f"note: {note}", highlight=False, markup=False)
    console.print_faults(faults, _FAULTS_SHOWN)
