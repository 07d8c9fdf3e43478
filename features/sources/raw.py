"""Reading a publisher's file as it is: CSV, gzip CSV or parquet, in the encodings that occur.

Nothing is interpreted here. CSV columns stay text; parquet columns keep their types; values of
both are read by the expressions in `features.sources.parsing`.
"""

import codecs
import csv
import difflib
import gzip
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from features.errors import SourceError

ROW: Final = "raw_row"
_HEADER_LINES: Final = 30
_CHUNK_BYTES: Final = 1 << 22
_SEPARATORS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True)
class RawFile:
    """A raw file, opened lazily.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    columns : tuple of str
        Column names as the publisher wrote them.
    frame : polars.LazyFrame
        The columns, and `raw_row`: the 1-based data row (blank lines count, the header does not).
    """

    path: Path
    columns: tuple[str, ...]
    frame: pl.LazyFrame

    def select(self, required: Sequence[str], optional: Sequence[str] = ()) -> pl.LazyFrame:
        """Take columns by name; case, spaces, hyphens and underscores in headers do not matter.

        The result names the columns as asked for. Optional columns that the file lacks are absent.

        Raises
        ------
        SourceError
            When a required column is missing, naming all of them with the nearest names present,
            or when two columns answer to one name.
        """
        present: dict[str, list[str]] = {}
        for column in self.columns:
            # Polars numbers the repetitions of a CSV column.
            name = re.sub(r"_duplicated_\d+$", "", column)
            present.setdefault(header_key(name), []).append(column)
        missing = [name for name in required if header_key(name) not in present]
        if missing:
            raise SourceError(f"{self.path}: {_missing_columns(missing, self.columns)}")
        wanted = [name for name in (*required, *optional) if header_key(name) in present]
        doubled = {n: present[header_key(n)] for n in wanted if len(present[header_key(n)]) > 1}
        if doubled:
            told = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in doubled.items())
            raise SourceError(f"{self.path}: more than one column for {told}; keep one of each")
        return self.frame.select(
            ROW, *(pl.col(present[header_key(name)][0]).alias(name) for name in wanted)
        )


def header_key(name: str) -> str:
    """Reduce a column name to its letters and digits, lower-case.

    >>> header_key(" LoanNr_ChkDgt ") == header_key("loannr chkdgt")
    True
    """
    return re.sub(r"[\W_]+", "", name).casefold()


def _missing_columns(missing: list[str], columns: Sequence[str]) -> str:
    keys = {header_key(column): column for column in columns}
    told = []
    for name in missing:
        near = difflib.get_close_matches(header_key(name), keys, n=2, cutoff=0.6)
        told.append(name + (f" (nearest: {', '.join(keys[key] for key in near)})" if near else ""))
    return (
        f"{len(missing)} necessary column{'s' if len(missing) > 1 else ''} missing:"
        f" {'; '.join(told)}. The file has {len(columns)} columns; use the publisher's file with"
        " its own column names"
    )


def open_raw(path: Path, expected: Iterable[str] = ()) -> RawFile:
    """Open a raw file.

    Parameters
    ----------
    path : pathlib.Path
        CSV (comma, semicolon, tab or bar), the same in gzip, or parquet; recognised by content.
        Text is UTF-8 (with or without byte order mark), UTF-16 with byte order mark, GB18030 or
        Windows-1252, which covers Latin-1.
    expected : iterable of str
        Names that the header should hold. The header is the line among the first 30 that holds
        most of them, so that a publisher's notice above it is passed over.

    Raises
    ------
    SourceError
        When the file is absent, empty, binary or in no known encoding.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give the path of a CSV, CSV.gz or parquet file")
    with path.open("rb") as file:
        magic = file.read(4)
    if not magic:
        raise SourceError(f"{path}: the file is empty; download it again")
    if magic == b"PAR1":
        return _open_parquet(path)
    if magic == b"PK\x03\x04":
        raise SourceError(
            f"{path}: a zip archive or workbook; unpack it or save it as CSV, then import that file"
        )
    return _open_csv(path, tuple(expected), compressed=magic[:2] == b"\x1f\x8b")


def _open_parquet(path: Path) -> RawFile:
    try:
        frame = pl.scan_parquet(path)
        columns = tuple(frame.collect_schema().names())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); download it again"
        ) from error
    return RawFile(path, columns, frame.with_row_index(ROW, offset=1))


def _open_csv(path: Path, expected: tuple[str, ...], *, compressed: bool) -> RawFile:
    encoding = detect_encoding(path)
    head = _head(path, encoding)
    if not any(line.strip() for line in head):
        raise SourceError(f"{path}: the file holds no text; download it again")
    header_line, separator = _find_header(head, {header_key(name) for name in expected})
    # Polars reads UTF-8 from disk as it goes, gzip too; anything else is turned into UTF-8 first.
    source: Path | bytes = path
    if encoding not in ("utf-8", "utf-8-sig"):
        with _open_bytes(path) as file:
            source = file.read().decode(encoding).encode("utf-8")
    try:
        frame = pl.scan_csv(
            source,
            separator=separator,
            skip_lines=header_line,
            infer_schema=False,
            truncate_ragged_lines=True,
        )
        columns = tuple(frame.collect_schema().names())
    except pl.exceptions.PolarsError as error:
        kind = "gzip CSV" if compressed else "CSV"
        raise SourceError(
            f"{path}: not a readable {kind} file ({str(error).splitlines()[0]}); check its header"
        ) from error
    return RawFile(path, columns, frame.with_row_index(ROW, offset=1))


def collect(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Read a lazy raw frame.

    Raises
    ------
    SourceError
        When the file breaks off or a quotation is never closed.
    """
    try:
        # In one chunk: polars 2.1 panics in `pl.format` on an empty chunk beside a filled one.
        return frame.collect(engine="streaming").rechunk()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise SourceError(
            f"{path}: cannot be read to its end ({str(error).splitlines()[0]});"
            " the file may be cut off or hold an unclosed quotation: download it again"
        ) from error


def _open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if compressed else path.open("rb")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with _open_bytes(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise SourceError(f"{path}: broken gzip file ({error}); download it again") from error


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def detect_encoding(path: Path) -> str:
    """Tell the encoding of a text file from its bytes; the whole file is tried, not its beginning.

    GB18030 accepts most byte strings, so it is chosen only where its characters look Chinese: bytes
    outside ASCII then come in runs of even length, whereas accented letters stand alone.

    Raises
    ------
    SourceError
        When the bytes are binary or fit none of the encodings.
    """
    first = next(_chunks(path), b"")
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if first.startswith(mark):
            candidates: tuple[str, ...] = (encoding,)
            break
    else:
        if b"\x00" in first:
            raise SourceError(f"{path}: binary content, not text; give a CSV or parquet file")
        runs = [len(run) for run in re.findall(rb"[\x80-\xff]+", first[:1_000_000])]
        chinese = bool(runs) and sum(n % 2 == 0 for n in runs) > len(runs) / 2
        candidates = ("utf-8", "gb18030", "cp1252") if chinese else ("utf-8", "cp1252", "gb18030")
    for encoding in candidates:
        if _decodes(path, encoding):
            return encoding
    raise SourceError(
        f"{path}: cannot be decoded as {', '.join(candidates)}; save the file as UTF-8"
    )


def _head(path: Path, encoding: str) -> list[str]:
    with _open_bytes(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        return [line for _, line in zip(range(_HEADER_LINES), text, strict=False)]


def _find_header(head: list[str], expected: set[str]) -> tuple[int, str]:
    """Return the number of lines above the header and its separator.

    The line with most of the expected names wins, the earliest of equals, read by the separator
    that gives most cells.
    """
    candidates = []
    for number, line in enumerate(head):
        for separator in _SEPARATORS if line.strip() else ():
            cells = next(csv.reader([line], delimiter=separator), [])
            known = len({header_key(cell) for cell in cells} & expected)
            candidates.append((known, -number, len(cells), separator))
    _, above, _, separator = max(candidates, key=lambda candidate: candidate[:3])
    return -above, separator
