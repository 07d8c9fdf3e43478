"""Uploads looked at before they are read: what they say they are, and how large they unpack."""

import json
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from features.errors import SourceError
from features.sources.raw import detect_encoding
from service.errors import MalformedError, TooLargeError, UnprocessableError, UnsupportedError
from service.identifiers import personal_headers
from service.settings import Settings

_MAGIC: Final = {".parquet": b"PAR1", ".xlsx": b"PK\x03\x04", ".arrow": b"ARROW1"}
_PIECE: Final = 1 << 20
_LOCAL_HEADER: Final = 30
_CELL: Final = re.compile(rb'<c [^>]*?r="([A-Z]{1,3})(\d{1,9})"')
# Readers hold a sheet as a grid, empty cells and all.
MAX_CELLS: Final = 30_000_000
# Bytes that no text holds in any of the encodings that are read, but UTF-16.
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))
_SHEET: Final = re.compile(r"^xl/worksheets/[^/]+\.xml$")
_PROBE_SECONDS: Final = 120


def look_at(path: Path, ending: str, settings: Settings) -> None:
    """Refuse an upload that is not what it says, or would not fit.

    Parameters
    ----------
    path : Path
        The upload.
    ending : str
        Format it was sent as; a value of `service.package_folder.FORMATS`.
    settings : Settings
        The limits.

    Raises
    ------
    UnsupportedError
        When it is of another format.
    MalformedError
        When it is damaged.
    TooLargeError
        When it unpacks to more than the limits allow.
    UnprocessableError
        When its headers name persons and the policy is to refuse.
    """
    magic = _MAGIC.get(ending)
    with path.open("rb") as file:
        begins = file.read(8)
    if magic is not None and not begins.startswith(magic):
        raise UnsupportedError(
            f"the body is no {ending[1:]} file; send it with the media type of what it is"
        )
    headers = {
        ".parquet": _look_at_parquet,
        ".xlsx": _look_at_workbook,
        ".arrow": _look_at_arrow,
        ".csv": _look_at_csv,
    }[ending](path, settings)
    if len(headers) > settings.max_columns:
        raise TooLargeError(
            f"{len(headers):,} columns, at most {settings.max_columns:,} are read: leave out those"
            " that 'npl schema' does not name"
        )
    found = personal_headers(headers)
    if found and settings.personal_data == "refuse":
        raise UnprocessableError(
            f"columns {', '.join(found[:5])} hold personal data: leave them out"
        )


def refuse_rows(rows: int, settings: Settings) -> None:
    """Refuse more rows than are read.

    Raises
    ------
    TooLargeError
        When there are.
    """
    if rows > settings.max_rows:
        raise TooLargeError(
            f"{rows:,} rows, at most {settings.max_rows:,} are read: send the package in parts"
        )


def _look_at_parquet(path: Path, settings: Settings) -> list[str]:
    try:
        about = pq.read_metadata(path)
        groups = [about.row_group(n) for n in range(about.num_row_groups)]
        unpacked = sum(
            max(group.column(n).total_uncompressed_size, 0)
            for group in groups
            for n in range(group.num_columns)
        )
        headers = list(about.schema.to_arrow_schema().names)
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise MalformedError(f"the Parquet file is damaged: {str(error)[:200]}") from error
    refuse_rows(about.num_rows, settings)
    _refuse_unpacked(unpacked, settings)
    return headers


def _look_at_csv(path: Path, settings: Settings) -> list[str]:
    encoding = _encoding_of_text(path)
    rows, longest = 0, 0
    with path.open("rb") as file:
        first = file.read(_PIECE)
        rest = 0
        file.seek(0)
        while piece := file.read(_PIECE):
            parts = piece.split(b"\n")
            rows += len(parts) - 1
            longest = max(longest, rest + len(parts[0]), *(len(part) for part in parts[1:]), 0)
            rest = len(parts[-1]) if len(parts) > 1 else rest + len(piece)
    if longest > _PIECE:
        raise TooLargeError("a line of the CSV is longer than 1 MiB: it is no table of loans")
    refuse_rows(rows, settings)
    lines = first.decode(encoding, errors="replace").splitlines()
    header = max(lines[:30], key=len, default="")
    columns = max(header.count(mark) for mark in ",;\t|") + 1
    _refuse_cells(rows, columns)
    if columns > settings.max_columns:
        return [""] * columns
    return [cell.strip('" \ufeff') for cell in re.split(r"[,;\t|]", header)]


def _encoding_of_text(path: Path) -> str:
    told = UnsupportedError(
        "the body is no CSV text: save the table as CSV in UTF-8, or send it with the media type of"
        " what it is"
    )
    # Readers open what ends like a workbook as one, however it begins.
    if zipfile.is_zipfile(path):
        raise told
    try:
        encoding = detect_encoding(path)
    except SourceError as error:
        raise told from error
    if encoding == "utf-16":
        return encoding
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            if len(piece.translate(None, _CONTROLS)) != len(piece):
                raise told
    return encoding


def _look_at_arrow(path: Path, settings: Settings) -> list[str]:
    # A few bytes may unpack to all there is of memory: a process of its own finds out, within
    # bounds that its operating system holds.
    bound = str(settings.max_decompressed_bytes)
    try:
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "service.arrow_probe",
                path,
                bound,
            ],
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TooLargeError("the Arrow file takes too long to unpack") from error
    if ended.returncode == 3:
        raise MalformedError("the Arrow file is damaged; write it anew in the Arrow file format")
    if ended.returncode:
        raise _unpacked_too_large(settings)
    about = json.loads(ended.stdout)
    refuse_rows(about["rows"], settings)
    return list(about["names"])


def _look_at_workbook(path: Path, settings: Settings) -> list[str]:
    unpacked = 0
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = archive.infolist()
            if not any(member.filename == "xl/workbook.xml" for member in members):
                raise UnsupportedError("the body is a zip file, but no XLSX workbook")
            if len({member.filename for member in members}) != len(members):
                raise MalformedError("the workbook holds two parts of one name")
            for member in members:
                is_sheet = bool(_SHEET.match(member.filename))
                rows = columns = 0
                for piece in _unpacked(file, member):
                    unpacked += len(piece)
                    _refuse_unpacked(unpacked, settings)
                    if is_sheet:
                        rows, columns = _reach(piece, rows, columns)
                refuse_rows(rows, settings)
                _refuse_cells(rows, columns)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise MalformedError(
            "the workbook is damaged; open it in Excel and save it anew"
        ) from error
    except RuntimeError as error:
        raise MalformedError("the workbook is encrypted; save it without a password") from error
    return []


def _unpacked(file: object, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Pieces of a member as they unpack, whatever size it says it has."""
    read, seek = file.read, file.seek  # type: ignore[attr-defined]
    if member.flag_bits & 1:
        raise RuntimeError("encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError("compression")
    seek(member.header_offset)
    header = read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("local header")
    skipped = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    seek(skipped, 1)
    left = member.compress_size
    if member.compress_type == zipfile.ZIP_STORED:
        while left > 0 and (piece := read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
        return
    inflate = zlib.decompressobj(-15)
    while left > 0 and not inflate.eof and (packed := read(min(left, _PIECE))):
        left -= len(packed)
        while packed and not inflate.eof:
            yield inflate.decompress(packed, _PIECE)
            packed = inflate.unconsumed_tail


def _reach(piece: bytes, rows: int, columns: int) -> tuple[int, int]:
    """Last row and column that a piece of a sheet names, or those known before."""
    found = _CELL.findall(piece)
    if not found:
        return rows, columns
    letters = {letter for letter, _ in found}
    return (
        max(rows, *(int(row) for _, row in found)),
        max(columns, *(_column_number(letter) for letter in letters)),
    )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _refuse_cells(rows: int, columns: int) -> None:
    if rows * columns > MAX_CELLS:
        raise TooLargeError(
            f"the sheet reaches over {rows:,} rows and {columns:,} columns, at most"
            f" {MAX_CELLS:,} cells are read: delete what lies beyond the table, or send Parquet"
        )


def _refuse_unpacked(size: int, settings: Settings) -> None:
    if size > settings.max_decompressed_bytes:
        raise _unpacked_too_large(settings)


def _unpacked_too_large(settings: Settings) -> TooLargeError:
    return TooLargeError(
        f"the file unpacks to more than {settings.max_decompressed_bytes / _PIECE:,.0f} MiB"
    )
