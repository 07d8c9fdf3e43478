"""Which header of a spreadsheet is which field: by name, by synonym, or by a mapping file."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.errors import SourceError
from features.portfolio import ExtraField, RecoveryBasis
from features.sources.sheet_grid import Grid
from features.tape import Tape
from features.vocabulary import allowed_codes, folded, headers, nearest

How = Literal["exact", "synonym", "mapping file"]
_SCALES: Final = {"亿": 1e8, "百万": 1e6, "万": 1e4, "千": 1e3, "": 1.0}
_UNIT: Final = re.compile("(亿|百万|万|千|)元")
_UNIT_ABOVE: Final = re.compile(r"单位\s*[:：]?\s*(?:人民币)?\s*(?:亿|百万|万|千|)元")


class SpreadsheetMapping(BaseModel):
    """A mapping file.

    Parameters
    ----------
    columns : dict of str to str
        Header by field.
    defaults : dict
        Value by field, for a column that is absent or a cell that is empty.
    values : dict
        For a field with codes: code by text of the tape.
    extra_fields : tuple of ExtraField
        Columns beyond the schema to keep; their headers stand under `columns`.
    name : str, optional
        Name of the portfolio; the file's name by default.
    recovery_basis : {"claim", "principal", "original_amount"}
        What recoveries are measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, object] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    extra_fields: tuple[ExtraField, ...] = ()
    name: Annotated[str, Field(min_length=1)] | None = None
    recovery_basis: RecoveryBasis = "claim"

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field a column can be mapped to."""
        return (*Tape.columns(), *(extra.name for extra in self.extra_fields))


@dataclass(frozen=True)
class MappedColumn:
    """One header that became a field; amounts are multiplied by `scale`."""

    place: int
    header: str
    field: str
    how: How
    scale: float = 1.0


@dataclass(frozen=True)
class MappingReport:
    """What became of the headers of a spreadsheet.

    Parameters
    ----------
    header_row : int
        1-based row of the header.
    mapped : tuple of MappedColumn
        Headers that became fields, and how.
    filled : dict of str to str
        Fields without a column that were given one value, and where it came from.
    unused : tuple of str
        Headers that mean no field.
    missing : tuple of str
        Required fields that no header or default gives.
    """

    header_row: int
    mapped: tuple[MappedColumn, ...]
    filled: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"header in row {self.header_row}; {len(self.mapped)} columns mapped"]
        for column in self.mapped:
            scale = f", times {column.scale:g}" if column.scale != 1 else ""
            lines.append(f"  {column.header} -> {column.field} ({column.how}{scale})")
        lines += [f"  {name}: {origin}" for name, origin in self.filled.items()]
        lines.append(f"unused headers: {', '.join(self.unused) or 'none'}")
        lines.append(f"missing required fields: {', '.join(self.missing) or 'none'}")
        return "\n".join(lines)


def read_mapping(path: Path | None) -> SpreadsheetMapping:
    """Read a mapping file (TOML); no path gives an empty mapping.

    Raises
    ------
    SourceError
        Naming every unknown field or code at once, with the nearest right name.
    """
    if path is None:
        return SpreadsheetMapping()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        mapping = SpreadsheetMapping.model_validate(document)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); give a TOML file") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not UTF-8 text; save the mapping file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            f" (value: {fault['input']!r})"
            for fault in error.errors()
        )
        raise SourceError(f"{path}: {told}") from error
    faults = [*_unknown_fields(mapping), *_unknown_codes(mapping)]
    if faults:
        raise SourceError(f"{path}: {'; '.join(faults)}")
    return mapping


def _unknown_fields(mapping: SpreadsheetMapping) -> list[str]:
    faults = []
    for table, names in (
        ("columns", mapping.columns),
        ("defaults", mapping.defaults),
        ("values", mapping.values),
    ):
        for name in names:
            if name not in mapping.fields:
                meant = nearest(name, mapping.fields)
                faults.append(
                    f"[{table}] {name!r} is no field"
                    + (f", did you mean {meant!r}?" if meant else "; see 'npl schema'")
                )
    return faults


def _unknown_codes(mapping: SpreadsheetMapping) -> list[str]:
    return [
        f"[values.{name}] {text!r} = {code!r} is no code of the field; use one of"
        f" {', '.join(allowed_codes(name))}"
        for name, codes in mapping.values.items()
        for text, code in codes.items()
        if allowed_codes(name) and code not in allowed_codes(name)
    ]


def map_headers(grid: Grid, mapping: SpreadsheetMapping, path: Path) -> tuple[MappedColumn, ...]:
    """Say which header is which field.

    A mapping file goes before names, names before synonyms; a unit in the header (万元) or above
    the table scales the amounts.

    Raises
    ------
    SourceError
        When a header of the mapping file is not there, or two columns would be one field: both
        are named.
    """
    faults: list[str] = []
    asked: dict[int, str] = {}
    for name, header in mapping.columns.items():
        places = [place for place, cell in enumerate(grid.header) if cell == header.strip()] or [
            place for place, cell in enumerate(grid.header) if cell and _key(cell) == _key(header)
        ]
        if len(places) != 1:
            faults.append(_not_one(name, header, places, grid.header))
        else:
            asked[places[0]] = name
    said = _UNIT_ABOVE.search(" ".join(grid.above))
    unit_above = _unit(said[0]) if said else None
    mapped = []
    for place, header in enumerate(grid.header):
        named, how = _field_of(header, place, asked, mapping)
        if named is not None and how is not None:
            scale = _scale(named, header, unit_above)
            mapped.append(MappedColumn(place, header, named, how, scale))
    taken: dict[str, list[MappedColumn]] = {}
    for column in mapped:
        taken.setdefault(column.field, []).append(column)
    faults += [
        f"columns {' and '.join(_place(column) for column in columns)} both mean {name}: remove"
        f" one, or say which under [columns] of a mapping file"
        for name, columns in taken.items()
        if len(columns) > 1
    ]
    if faults:
        raise SourceError(f"{path}: {'; '.join(faults)}")
    return tuple(mapped)


def _field_of(
    header: str, place: int, asked: Mapping[int, str], mapping: SpreadsheetMapping
) -> tuple[str | None, How | None]:
    if place in asked:
        return asked[place], "mapping file"
    extra = {folded(field.name): field.name for field in mapping.extra_fields}
    key = folded(header)
    meant = extra.get(key) or headers().get(key)
    # A field the mapping file takes from one column is not taken from a synonym as well.
    if not header or meant is None or meant in mapping.columns:
        return None, None
    return meant, "exact" if key == folded(meant) else "synonym"


def _not_one(name: str, header: str, places: list[int], present: tuple[str, ...]) -> str:
    if places:
        letters = " and ".join(column_letters(place) for place in places)
        return f"[columns] {name} = {header!r} stands in columns {letters}: make the headers differ"
    meant = nearest(header, [cell for cell in present if cell])
    told = f", did you mean {meant!r}?" if meant else f"; the headers are {', '.join(present)}"
    return f"[columns] {name} = {header!r} is no header of the file{told}"


def _key(header: str) -> str:
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", header)).lower()


def _place(column: MappedColumn) -> str:
    return f"{column_letters(column.place)} {column.header!r}"


def column_letters(place: int) -> str:
    """Return the letters a spreadsheet shows for a 0-based column: 0 is A, 26 is AA.

    Examples
    --------
    >>> column_letters(0), column_letters(27)
    ('A', 'AB')
    """
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _unit(text: str) -> float | None:
    found = _UNIT.search(unicodedata.normalize("NFKC", text))
    return _SCALES[found[1]] if found else None


def _scale(name: str, header: str, unit_above: float | None) -> float:
    column = Tape.columns().get(name)
    unit = (column.metadata or {}).get("unit") if column is not None else None
    if unit == "currency":
        own = _unit(header)
        return own if own is not None else (unit_above or 1.0)
    if unit == "ratio" and re.search("[%％]", header):
        return 0.01
    return 1.0
