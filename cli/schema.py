"""`npl schema`: the fields of a tape and a ledger."""

from typing import Annotated, Any, Final

import typer

NAME: Final = "schema"


def run(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the fields of the tape and the ledger: need, type, unit, allowed values, EBA index."""
    from cli import console
    from features.ledger import Ledger
    from features.tape import Tape

    tables = {"tape": _rows(Tape.columns()), "ledger": _rows(Ledger.columns())}
    if as_json:
        console.print_json(tables)
        return
    formats = dict.fromkeys(("field", "chinese", "need", "type", "unit", "allowed", "eba"), "s")
    for name, rows in tables.items():
        console.print_table(rows, f"{name}.parquet", formats)
    console.out.print(
        "need: R required, O optional, R(...) or C(...) required on the condition;"
        " eba: index in the NPL templates of ITS (EU) 2023/2083",
        highlight=False,
    )


def _rows(columns: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for name, column in columns.items():
        about = column.metadata or {}
        rows.append(
            {"field": name, "type": type(column).__name__}
            | {key: about.get(key, "") for key in ("chinese", "need", "unit", "allowed", "eba")}
        )
    return rows
