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
        When the folder holds no backtest.
    """
    try:
        told = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        return (folder / name).read_bytes() if told.get(MODEL) == bundle_version else None
    except (OSError, ValueError) as error:
        raise ModelsError(
            f"{folder}: no backtest there; give the folder that 'npl backtest --out' wrote"
        ) from error
