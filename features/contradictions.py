"""The account of what a delivery says against what is known."""

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from features.errors import PortfolioStoreError
from features.faults import masked

_TOLD: Final = 20


@dataclass
class Contradictions:
    """Contradictions found so far: all counted, the first of them told."""

    count: int = 0
    told: list[str] = field(default_factory=list)

    def add(self, rows: pl.DataFrame, what: str, mend: str) -> None:
        """Count rows of `where`, `earlier` and `now` (strings) under one heading."""
        self.count += rows.height
        for where, earlier, now in rows.head(_TOLD - len(self.told)).iter_rows():
            self.told.append(
                f"{where}: {what}: now {_shown(now)}, known as {_shown(earlier)}: {mend}"
            )

    def refuse(self, delivery: str) -> None:
        """Refuse the delivery if anything contradicts.

        Raises
        ------
        PortfolioStoreError
            Telling the first contradictions in full and how many there are.
        """
        if not self.count:
            return
        more = self.count - len(self.told)
        lines = [f"{delivery}: {self.count} contradictions; nothing was taken in:", *self.told]
        raise PortfolioStoreError("\n  ".join([*lines, *([f"and {more} more"] if more else [])]))


def _shown(value: str | None) -> str:
    return "missing" if value is None else masked(value)
