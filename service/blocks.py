"""Tables larger than memory shall hold: read and written so many rows at a time."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import polars as pl

BLOCK_ROWS: Final = 50_000


def blocks_of(path: Path) -> Iterator[pl.DataFrame]:
    """Rows of a Parquet file, `BLOCK_ROWS` at a time; one empty block of an empty file."""
    scan = pl.scan_parquet(path)
    rows = int(scan.select(pl.len()).collect().item())
    for start in range(0, max(rows, 1), BLOCK_ROWS):
        yield scan.slice(start, BLOCK_ROWS).collect()


def write_blocks(path: Path, blocks: Iterable[pl.DataFrame]) -> int:
    """Write blocks as one Parquet file, and give its rows.

    Parameters
    ----------
    path : Path
        The file.
    blocks : iterable of polars.DataFrame
        At least one, all of one schema.
    """
    parts = path.with_name(f"{path.name}-parts")
    parts.mkdir()
    names: list[Path] = []
    rows = 0
    for block in blocks:
        names.append(parts / f"{len(names):06d}.parquet")
        block.write_parquet(names[-1])
        rows += block.height
    write_plan(path, pl.scan_parquet(names))
    shutil.rmtree(parts)
    return rows


def write_plan(path: Path, plan: pl.LazyFrame) -> None:
    """Stream the rows of a plan to a Parquet file."""
    plan.sink_parquet(path, row_group_size=BLOCK_ROWS, mkdir=True)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BlocksHash:
    """SHA-256 of a table's values, to the last bit, taken block after block."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, block: pl.DataFrame) -> None:
        """Take the next rows; the same table in other blocks has another hash."""
        # A block that is part of a larger table is written like one that stands alone: texts as
        # views would carry the texts of their neighbours along.
        stream = block.rechunk().write_ipc_stream(
            None, compression="uncompressed", compat_level=pl.CompatLevel.oldest()
        )
        self._digest.update(stream.getvalue())

    def hexdigest(self) -> str:
        """The hash of all that was added."""
        return self._digest.hexdigest()
