"""A portfolio folder or a tape in a file, checked against what the model asks for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from features.check import check_portfolio
from features.errors import PortfolioError
from features.faults import Faults
from features.portfolio import TAPE_FILE, read_portfolio
from features.sources import spreadsheet
from models.bundle import Bundle
from models.request import CheckedInput, check_bare_tape, refuse_other_fields, refuse_other_terms

_SCANNED: Final[dict[str, Callable[[Path], pl.LazyFrame]]] = {
    ".parquet": pl.scan_parquet,
    ".arrow": pl.scan_ipc,
}


def checked_input(
    path: Path, bundle: Bundle, mapping: Path | None = None, *, strict: bool = False
) -> CheckedInput:
    """Check a portfolio folder or a bare tape against what the model asks for.

    Parameters
    ----------
    path : Path
        Portfolio folder, or a tape: `.parquet`, `.arrow` (Arrow IPC file), or a spreadsheet.
    bundle : Bundle
        The model.
    mapping : Path, optional
        For spreadsheets; see `features.sources.spreadsheet.read`.
    strict : bool
        Refuse a tape with any error.

    Raises
    ------
    PortfolioError, SourceError
        When the input cannot be read, or `strict` and a row has an error.
    ScoringError
        When it is in another currency or measured on another basis than the model.
    """
    if path.is_dir():
        return _checked_folder(path, bundle, strict)
    scan = _SCANNED.get(path.suffix)
    if scan is not None:
        return check_bare_tape(_scanned(path, scan), bundle, path.name, strict=strict)
    sheet = spreadsheet.read(path, mapping, extra_fields=bundle.model.spec.extra_fields)
    refuse_other_terms(sheet.meta.currency, None, bundle)
    checked = check_bare_tape(
        sheet.tape.lazy(), bundle, path.name, sheet.row_numbers, strict=strict
    )
    faults = Faults.merged(Faults.of_source(sheet.faults), checked.faults)
    return replace(checked, faults=faults, unread=sheet.report.unused)


def _checked_folder(path: Path, bundle: Bundle, strict: bool) -> CheckedInput:
    portfolio = read_portfolio(path)
    refuse_other_terms(portfolio.meta.currency, portfolio.meta.recovery_basis, bundle)
    refuse_other_fields(portfolio.meta.extra_fields, bundle)
    checked = check_portfolio(portfolio)
    if strict:
        checked.require_clean()
    good = checked.portfolio
    return CheckedInput(good.tape, good.ledger, checked.tape_set_aside, checked.faults, TAPE_FILE)


def _scanned(path: Path, scan: Callable[[Path], pl.LazyFrame]) -> pl.LazyFrame:
    try:
        raw = scan(path)
        raw.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        kind = path.suffix.removeprefix(".")
        raise PortfolioError(f"{path}: not a readable {kind} file ({first})") from error
    return raw
