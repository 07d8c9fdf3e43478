"""Where the files of a package lie: what came in, and what each attempt made of it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# By media type: the ending, by which readers choose.
FORMATS: Final = {
    "text/csv": ".csv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
}
# Files of an attempt; tape and ledger are kept for replays under the same names, and the forecasts
# for the cash that comes later.
SCORES, TAPE, LEDGER = "scores.parquet", "tape.parquet", "ledger.parquet"
FORECASTS: Final = "forecasts.parquet"
SUMMARY, PAGE = "summary.json", "page.html"
_RESULT: Final = "result-"


@dataclass(frozen=True)
class PackageFolder:
    """Folders of a package.

    Attributes
    ----------
    data_folder : Path
        Folder of the service.
    package_id : str
        The package's id, which the service made itself.
    """

    data_folder: Path
    package_id: str

    @property
    def path(self) -> Path:
        """Upload and results; deleted when their time is over."""
        return self.data_folder / "packages" / self.package_id

    def upload(self, ending: str) -> Path:
        """The tape as it came in."""
        return self.path / f"tape{ending}"

    @property
    def ledger(self) -> Path:
        """The ledger as it came in; not there where none did."""
        return self.path / LEDGER

    def result(self, attempt: int) -> Path:
        """What one attempt made."""
        return self.path / f"{_RESULT}{attempt}"

    def kept(self, attempt: int) -> Path:
        """What a replay of an attempt reads, identifiers as keyed hashes; stays with the record."""
        return self._kept / str(attempt)

    def attempts(self) -> dict[int, list[Path]]:
        """Folders of every attempt that has left any."""
        found: dict[int, list[Path]] = {}
        for folder in (*self.path.glob(f"{_RESULT}*"), *self._kept.glob("*")):
            found.setdefault(int(folder.name.removeprefix(_RESULT)), []).append(folder)
        return found

    def remove(self) -> None:
        """Delete upload and results."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def _kept(self) -> Path:
        return self.data_folder / "kept" / self.package_id
