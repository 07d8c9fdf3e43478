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


@dataclass(frozen=True)
class PackageFolder:
    """Folder of a package.

    Attributes
    ----------
    path : Path
        It.
    """

    path: Path

    @classmethod
    def of(cls, data_folder: Path, package_id: str) -> "PackageFolder":
        """Folder of a package by its id, which the service made itself."""
        return cls(data_folder / "packages" / package_id)

    def upload(self, ending: str) -> Path:
        """The tape as it came in."""
        return self.path / f"tape{ending}"

    @property
    def ledger(self) -> Path:
        """The ledger as it came in; not there where none did."""
        return self.path / "ledger.parquet"

    def result(self, attempt: int) -> Path:
        """What one attempt made."""
        return self.path / f"result-{attempt}"

    @classmethod
    def kept(cls, data_folder: Path, valuation_id: str) -> tuple[Path, Path]:
        """Tape and ledger of a valuation for its replay, identifiers as keyed hashes."""
        folder = data_folder / "kept"
        return folder / f"{valuation_id}.parquet", folder / f"{valuation_id}-ledger.parquet"

    @classmethod
    def forecasts(cls, data_folder: Path, valuation_id: str) -> Path:
        """Forecasts of a valuation as they were made, identifiers as keyed hashes."""
        return data_folder / "kept" / f"{valuation_id}-forecasts.parquet"

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.path, ignore_errors=True)
