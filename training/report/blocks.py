"""What a section is made of: text, facts, tables and figures, for page and workbook alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.report.part import Light
from training.report.words import Kind


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is plain, note or warning."""

    text: str
    kind: str = "plain"


@dataclass(frozen=True)
class Facts:
    """Names with their values, in order."""

    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key : str
        Where a row holds its value.
    title : str
        Its heading.
    kind : str
        How its values are written.
    """

    key: str
    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes
    ----------
    name : str
        File name of the table and anchor on the page.
    caption : str
        What it shows.
    columns : sequence of Column
        In order.
    rows : sequence of mapping
        Values by column key; text in a column of numbers is shown as it is. `_strong` marks a row
        to stand out.
    total : mapping, optional
        The last row.
    shown : sequence of mapping, optional
        Rows of the page, where the workbook has more.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    total: Mapping[str, Any] | None = None
    shown: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Figure:
    """A drawing under a caption; figures that go together stand beside one another."""

    caption: str
    drawings: Sequence[str]


@dataclass(frozen=True)
class Lights:
    """Lines of a summary, each with its light."""

    lines: Sequence[tuple[Light | None, str, str]]


Block = Text | Facts | Table | Figure | Lights


@dataclass(frozen=True)
class Section:
    """A section of the report."""

    name: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
