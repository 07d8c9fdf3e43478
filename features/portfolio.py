"""A portfolio folder: `tape.parquet`, `ledger.parquet` and `portfolio.toml`, their description."""

import tomllib
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import polars as pl
import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from features.errors import PortfolioError
from features.ledger import Ledger
from features.replacing import replacing_folder
from features.tape import Tape, tape_dtypes

TAPE_FILE: Final = "tape.parquet"
LEDGER_FILE: Final = "ledger.parquet"
META_FILE: Final = "portfolio.toml"

# What a portfolio folder may hold: its three files, what a check sets aside, a simulator's truth.
OWN_FILES: Final = (META_FILE, TAPE_FILE, LEDGER_FILE, "set_aside", "truth")

RecoveryBasis = Literal["claim", "principal", "original_amount"]
RecoveryTiming = Literal["monthly", "resolution", "none"]
# The person's way of grouping factors; the same names head the reasons of a forecast.
FeatureGroup = Literal["borrower", "age", "region", "exposure", "payments", "collateral", "legal"]
# -1: a higher value, all else equal, never means a higher expected recovery; 1: never a lower one.
Direction = Literal[-1, 0, 1]


class ExtraField(BaseModel):
    """A column a source carries beyond the canonical schema, known at the cut-off.

    Parameters
    ----------
    name : str
        Column name on the tape, lower-case letters, digits and underscores.
    type : {"number", "category", "flag"}
        Stored as Float64, String or Boolean.
    ordered : bool
        For a category: its levels have an order, and it becomes the rank 0..n-1.
    levels : tuple of str
        Levels of a category, in order where ordered. Required when ordered.
    meaning_en, meaning_zh : str
        What the field says, for reasons and reports.
    group : str
        The factor group it is explained under.
    unit : str
        Unit of a number.
    direction : {-1, 0, 1}
        -1 where a higher value (a later level) surely means no higher a recovery, all else equal;
        1 where no lower. Held by every fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    type: Literal["number", "category", "flag"]
    ordered: bool = False
    levels: tuple[str, ...] = ()
    meaning_en: Annotated[str, Field(min_length=1)]
    meaning_zh: Annotated[str, Field(min_length=1)]
    group: FeatureGroup = "borrower"
    unit: str = ""
    direction: Direction = 0

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        if self.name in Tape.columns():
            raise ValueError(f"extra field {self.name!r} is a canonical field: use that column")
        if self.ordered and (self.type != "category" or len(self.levels) < 2):
            raise ValueError(
                f"extra field {self.name!r} is ordered: give type = 'category' and its levels in"
                " order"
            )
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"extra field {self.name!r} repeats a level: list each once")
        if self.direction and self.type == "category" and not self.ordered:
            raise ValueError(
                f"extra field {self.name!r} has a direction, but its levels have no order: leave"
                " direction out, or give ordered = true and the levels in order"
            )
        return self

    @property
    def dtype(self) -> pl.DataType:
        """Polars data type of the column on the tape."""
        return {"number": pl.Float64(), "category": pl.String(), "flag": pl.Boolean()}[self.type]


class PortfolioMeta(BaseModel):
    """What `portfolio.toml` says of the two tables.

    Parameters
    ----------
    name : str
        Name of the portfolio, for reports.
    source_system : str
        Where the records come from, as on the tape.
    currency : str
        ISO 4217 code; the one currency of the whole portfolio.
    observed_until_date : date
        Last day of cash that the ledger can hold.
    recovery_basis : {"claim", "principal", "original_amount"}
        What a recovery rate is measured on: principal + interest + fees at the cut-off, principal
        at the cut-off, or the amount once disbursed, where no balance at default is known.
    recovery_timing : {"monthly", "resolution", "none"}
        Dated cash flows, one dated payment when a workout resolves, or undated ultimate outcomes.
    max_workout_months : int, optional
        Months after the cut-off past which a workout counts as complete.
    reporting_lag_months : int
        Months before `observed_until_date` in which postings may still be missing.
    discount_rate : float
        Fraction a year, for discounted recoveries. An assumption of the valuer.
    extra_fields : tuple of ExtraField
        Further columns of the tape that become features.
    notes : tuple of str
        Caveats to print wherever figures of this portfolio are shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Annotated[str, Field(min_length=1)]
    source_system: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    observed_until_date: date
    recovery_basis: RecoveryBasis
    recovery_timing: RecoveryTiming
    max_workout_months: Annotated[int, Field(ge=1)] | None = None
    reporting_lag_months: Annotated[int, Field(ge=0)] = 0
    discount_rate: Annotated[float, Field(ge=0, lt=1)] = 0.05
    extra_fields: tuple[ExtraField, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _extra_names_differ(self) -> Self:
        names = [extra.name for extra in self.extra_fields]
        if len(set(names)) != len(names):
            raise ValueError(f"extra_fields repeat a name among {names}: name each once")
        return self


@dataclass(frozen=True)
class Portfolio:
    """A portfolio as it lies in its folder; the tables are lazy and not yet checked.

    One read from a store has no folder but a `digest`: the SHA-256 that stands for its content.
    """

    meta: PortfolioMeta
    tape: pl.LazyFrame
    ledger: pl.LazyFrame
    path: Path | None = None
    digest: str | None = None

    def with_tables(self, tape: pl.LazyFrame, ledger: pl.LazyFrame) -> "Portfolio":
        """Return the same portfolio over other tables."""
        return replace(self, tape=tape, ledger=ledger)


def parse_meta(document: dict[str, object], origin: str) -> PortfolioMeta:
    """Validate the content of a `portfolio.toml`.

    Raises
    ------
    PortfolioError
        Listing every faulty entry at once, with `origin` as the file's name.
    """
    try:
        return PortfolioMeta.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            + ("" if isinstance(fault["input"], dict) else f" (value: {fault['input']!r})")
            for fault in error.errors()
        )
        raise PortfolioError(f"{origin}: {faults}") from error


def read_portfolio(folder: Path) -> Portfolio:
    """Open a portfolio folder lazily. Rows are not checked: see `features.check`.

    Raises
    ------
    PortfolioError
        When a file is missing or unreadable, naming all that are.
    """
    if not folder.is_dir():
        raise PortfolioError(
            f"{folder}: not a folder; a portfolio is a folder of {TAPE_FILE}, {LEDGER_FILE} and"
            f" {META_FILE} (make one with 'npl import' or 'npl simulate')"
        )
    missing = [
        name for name in (TAPE_FILE, LEDGER_FILE, META_FILE) if not (folder / name).is_file()
    ]
    if missing:
        raise PortfolioError(f"{folder}: {', '.join(missing)} missing; a portfolio needs all three")
    try:
        document = tomllib.loads((folder / META_FILE).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PortfolioError(f"{folder / META_FILE}: not UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise PortfolioError(f"{folder / META_FILE}: not valid TOML: {error}") from error
    return Portfolio(
        meta=parse_meta(document, str(folder / META_FILE)),
        tape=_scan(folder / TAPE_FILE),
        ledger=_scan(folder / LEDGER_FILE),
        path=folder,
    )


def _scan(path: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(path)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PortfolioError(
            f"{path}: not a readable parquet file ({str(error).splitlines()[0]});"
            " import the source again"
        ) from error
    return frame


def write_portfolio(
    folder: Path,
    meta: PortfolioMeta,
    tape: pl.DataFrame | pl.LazyFrame,
    ledger: pl.DataFrame | pl.LazyFrame,
) -> None:
    """Write a portfolio folder whole or not at all; an older one of that name is replaced.

    Columns are cast to the types of the schema; canonical columns come first, in schema order.
    Larger-than-memory lazy frames are streamed.

    Raises
    ------
    PortfolioError
        When `folder` exists and is something else than a portfolio.
    polars.exceptions.InvalidOperationError
        When a value does not fit its column's type: sources must hand over clean values.
    """
    with replacing_folder(folder, OWN_FILES, "portfolio", PortfolioError) as aside:
        _conform(
            tape.lazy(), tape_dtypes() | {x.name: x.dtype for x in meta.extra_fields}
        ).sink_parquet(aside / TAPE_FILE)
        ledger_dtypes = {name: column.dtype for name, column in Ledger.columns().items()}
        _conform(ledger.lazy(), ledger_dtypes).sink_parquet(aside / LEDGER_FILE)
        write_meta(aside, meta)


def write_meta(folder: Path, meta: PortfolioMeta) -> None:
    """Write `portfolio.toml` into an existing folder."""
    document = meta.model_dump(mode="python", exclude_none=True)
    (folder / META_FILE).write_text(tomli_w.dumps(document), encoding="utf-8")


def _conform(frame: pl.LazyFrame, dtypes: dict[str, pl.DataType]) -> pl.LazyFrame:
    names = frame.collect_schema().names()
    known = [pl.col(name).cast(dtype) for name, dtype in dtypes.items() if name in names]
    return frame.select(*known, *(name for name in names if name not in dtypes))
