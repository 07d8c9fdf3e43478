"""What a check hands back: good rows, the account of the faults, and the rows set aside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import polars as pl

from features.errors import PortfolioError
from features.faults import Faults
from features.ledger import Ledger
from features.portfolio import Portfolio
from features.replacing import replacing_file
from features.spreadsheet_text import harmless
from features.tape import tape_dtypes

_STRICT_LINES: Final = 20
_ROW: Final = "set_aside_row"
_RULES: Final = "set_aside_rules"


@dataclass(frozen=True)
class CheckedTape:
    """A tape after its check.

    Parameters
    ----------
    tape : pl.LazyFrame
        The good rows in their order, columns in schema order and type; declared extra fields last.
        Columns the file lacks stay absent. Values a warning took as missing are null.
    rows : int
        Rows of the file.
    faults : Faults
        Every fault.
    set_aside : pl.DataFrame
        `row` (1-based), `loan_id`, `rules`: each row that cannot be used, and why. Where the
        caller gave row numbers, `row` still counts the rows of the table.
    """

    tape: pl.LazyFrame
    rows: int
    faults: Faults
    set_aside: pl.DataFrame

    def require_clean(self) -> None:
        """Refuse the tape if any row or column has an error.

        Raises
        ------
        PortfolioError
            Telling the errors, the first twenty in full.
        """
        _refuse_errors(self.faults, "the tape")


@dataclass(frozen=True)
class CheckedPortfolio:
    """A portfolio after its check.

    Parameters
    ----------
    portfolio : Portfolio
        Good rows only. Cash of a loan that was set aside is gone with its loan.
    faults : Faults
        Every fault of both tables.
    tape_rows, ledger_rows : int
        Rows of the files.
    tape_set_aside, ledger_set_aside : pl.DataFrame
        `row` (1-based), `loan_id`, `rules`: each row that broke a rule of severity error.
    ledger_rows_of_set_aside_loans : int
        Sound ledger rows that left with their loan.
    incomplete_loans : pl.DataFrame
        `loan_id` of good loans that lost cash to `ledger_set_aside`: fit to be scored, but what
        they recovered is not known, so they must not be learnt from.
    """

    portfolio: Portfolio
    faults: Faults
    tape_rows: int
    ledger_rows: int
    tape_set_aside: pl.DataFrame
    ledger_set_aside: pl.DataFrame
    ledger_rows_of_set_aside_loans: int
    incomplete_loans: pl.DataFrame
    checked: Portfolio

    def require_clean(self) -> None:
        """Refuse the portfolio if any row or column has an error.

        Raises
        ------
        PortfolioError
            Telling the errors, the first twenty in full.
        """
        _refuse_errors(self.faults, str(self.checked.path or self.checked.meta.name))

    def write_set_aside(self, folder: Path) -> list[Path]:
        """Write what was set aside and why, each file aside first and then renamed.

        `faults.csv` (UTF-8 with a mark, for Excel) always; `tape_set_aside.parquet` and
        `ledger_set_aside.parquet` where there are such rows: the rows as the file has them, in
        the schema's columns, with `set_aside_row` and `set_aside_rules`. Files of an earlier check
        that no longer apply are removed. Undeclared columns are left out: they may hold names.

        Returns
        -------
        list of Path
            The files written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        extra = [field.name for field in self.checked.meta.extra_fields]
        written = [
            _write_bad_rows(folder / name, table, rows, columns)
            for name, table, rows, columns in (
                (
                    "tape_set_aside.parquet",
                    self.checked.tape,
                    self.tape_set_aside,
                    [*tape_dtypes(), *extra],
                ),
                (
                    "ledger_set_aside.parquet",
                    self.checked.ledger,
                    self.ledger_set_aside,
                    Ledger.column_names(),
                ),
            )
        ]
        return [_write_faults(folder / "faults.csv", self.faults), *filter(None, written)]


def _refuse_errors(faults: Faults, name: str) -> None:
    errors = faults.number("error")
    if not errors:
        return
    lines = Faults(faults.listed.filter(pl.col("severity") == "error"), faults.tally).messages(
        _STRICT_LINES
    )
    more = [f"and {errors - len(lines)} more"] if errors > len(lines) else []
    raise PortfolioError(
        "\n  ".join([f"{name}: {errors} error{'s' if errors > 1 else ''}", *lines, *more])
    )


def _write_bad_rows(
    path: Path, table: pl.LazyFrame, set_aside: pl.DataFrame, columns: Sequence[str]
) -> Path | None:
    if not set_aside.height:
        path.unlink(missing_ok=True)
        return None
    present = [name for name in columns if name in table.collect_schema()]
    reasons = set_aside.lazy().select(
        pl.col("row").cast(pl.get_index_type()).alias(_ROW), pl.col("rules").alias(_RULES)
    )
    bad_rows = (
        table.select(present)
        .with_row_index(_ROW, offset=1)
        .join(reasons, on=_ROW, how="inner", maintain_order="left")
    )
    return _replace(path, bad_rows.sink_parquet)


def _write_faults(path: Path, faults: Faults) -> Path:
    listed = faults.listed.with_columns(harmless(pl.col("value")))
    return _replace(path, lambda file: listed.write_csv(file, include_bom=True))


def _replace(path: Path, write: Callable[[IO[bytes]], object]) -> Path:
    with replacing_file(path) as aside, aside.open("wb") as file:
        write(file)
    return path
