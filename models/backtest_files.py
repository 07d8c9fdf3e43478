"""What `npl backtest --out` leaves in a folder: names of its files, and whose backtest it is."""

import json
from pathlib import Path
from typing import Final

from models.errors import ModelsError

# Files of a folder that `npl backtest --out` wrote, and that its run keeps as `FOLDER`.
PAGE: Final = "report.html"
DOCUMENT: Final = "report.json"
WORKBOOK: Final = "report.xlsx"
PROVENANCE: Final = "provenance.json"
FOLDER: Final = "backtest"
# Tag of the run, and entry of the provenance: version of the bundle that was judged.
MODEL: Final = "current_model"


def file_of_folder(folder: Path, bundle_version: str, name: str) -> bytes | None:
    """A file of a backtest that lies in a folder; None where another bundle was judged there.

    Raises
    ------
    ModelsError
        When the folder holds no backtest, or another takes its place meanwhile.
    """
    try:
        if _judged(folder) != bundle_version:
            return None
        found = (folder / name).read_bytes()
        replaced = _judged(folder) != bundle_version
    except (OSError, ValueError) as error:
        raise ModelsError(
            f"{folder}: no whole backtest there; give the folder that 'npl backtest --out' wrote,"
            " or try again where one is being written"
        ) from error
    if replaced:
        raise ModelsError(f"{folder}: another backtest has just taken its place; try again")
    return found


def _judged(folder: Path) -> str | None:
    told = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    found = told.get(MODEL) if isinstance(told, dict) else None
    return found if isinstance(found, str) else None
