"""A tape to be scored, checked against what the model asks for, whichever way it came.

The command line, the registered MLflow model and the service all check here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from features.check import check_portfolio, check_tape
from features.faults import Faults
from features.frames import AnyFrame
from features.portfolio import TAPE_FILE, ExtraField, Portfolio
from features.rules import Expected
from features.sources.result import no_ledger
from models.bundle import Bundle
from models.errors import ScoringError
from models.unscored import blocks_with_unscored, unscored_rows, with_unscored

# No description says until when cash was watched: the schema's own last day.
_WATCHED_UNTIL: Final = date(2100, 12, 31)


@dataclass(frozen=True)
class CheckedInput:
    """A tape ready to be scored.

    Attributes
    ----------
    tape, ledger : polars.LazyFrame
        Good rows.
    set_aside : polars.DataFrame
        Rows that cannot be scored; see `models.unscored`.
    faults : Faults
        Every fault.
    file : str
        Name the faults give to the tape.
    row_numbers : polars.Series, optional
        The file's own number of each row.
    unread : tuple of str
        Headers of a spreadsheet that mean no field; columns of other tapes are told as faults.
    """

    tape: pl.LazyFrame
    ledger: pl.LazyFrame
    set_aside: pl.DataFrame
    faults: Faults
    file: str
    row_numbers: pl.Series | None = None
    unread: tuple[str, ...] = ()

    def rows(self) -> int:
        """Rows of the tape, good and set aside."""
        return int(self.tape.select(pl.len()).collect().item()) + self.set_aside.height

    def complete(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Scores of the good rows with those set aside put back at their place."""
        return with_unscored(scores, self.set_aside, self.faults, self.file, self.row_numbers)

    def complete_blocks(self, blocks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The rows of `complete`, of scores that come in blocks."""
        unscored = unscored_rows(self.set_aside, self.faults, self.file, self.row_numbers)
        return blocks_with_unscored(blocks, unscored)


def check_bare_tape(
    tape: AnyFrame,
    bundle: Bundle,
    file: str,
    row_numbers: pl.Series | None = None,
    *,
    strict: bool = False,
) -> CheckedInput:
    """Check a tape without a ledger against what a model asks for.

    Parameters
    ----------
    tape : polars.LazyFrame or polars.DataFrame
        One row a loan; columns in any order and, where readable, of any type.
    bundle : Bundle
        The model.
    file : str
        Name of the tape, for the faults.
    row_numbers : polars.Series, optional
        As in `features.check.check_tape`.
    strict : bool
        Refuse a tape with any error.

    Raises
    ------
    features.errors.PortfolioError
        When the tape cannot be read to its end, or `strict` and a row has an error.
    """
    spec = bundle.model.spec
    expected = Expected(spec.basis, spec.extra_fields, bundle.portfolio.currency)
    checked = check_tape(tape, expected, file, row_numbers=row_numbers)
    if strict:
        checked.require_clean()
    return CheckedInput(
        checked.tape, no_ledger().lazy(), checked.set_aside, checked.faults, file, row_numbers
    )


def check_tape_and_ledger(tape: AnyFrame, ledger: AnyFrame, bundle: Bundle) -> CheckedInput:
    """Check a tape and the cash of its loans, which no `portfolio.toml` describes.

    They are taken to be on the terms of the model's own portfolio.

    Parameters
    ----------
    tape, ledger : polars.LazyFrame or polars.DataFrame
        As a portfolio holds them.
    bundle : Bundle
        The model.

    Raises
    ------
    features.errors.PortfolioError
        When a table cannot be read to its end.
    """
    spec = bundle.model.spec
    meta = bundle.portfolio.model_copy(
        update={"observed_until_date": _WATCHED_UNTIL, "extra_fields": spec.extra_fields}
    )
    checked = check_portfolio(Portfolio(meta, tape.lazy(), ledger.lazy()))
    good = checked.portfolio
    return CheckedInput(good.tape, good.ledger, checked.tape_set_aside, checked.faults, TAPE_FILE)


def refuse_other_terms(currency: str, basis: str | None, bundle: Bundle) -> None:
    """Refuse amounts that the model does not speak of.

    Raises
    ------
    ScoringError
        When currency or basis differ from those of the training portfolio.
    """
    terms = bundle.portfolio
    if currency != terms.currency:
        raise ScoringError(
            f"the tape is in {currency}, the model was trained in {terms.currency};"
            " score it with a model of its own currency"
        )
    if basis is not None and basis != terms.recovery_basis:
        raise ScoringError(
            f"the portfolio measures recovery on {basis}, the model on {terms.recovery_basis};"
            " set recovery_basis in portfolio.toml alike, or train on this portfolio's like"
        )


def refuse_other_fields(extra_fields: tuple[ExtraField, ...], bundle: Bundle) -> None:
    """Refuse extra fields that bear a name the model knows but are something else.

    Raises
    ------
    ScoringError
        Naming every field whose type or levels differ.
    """
    known = {extra.name: extra for extra in bundle.model.spec.extra_fields}
    other = [
        f"{extra.name} (type {extra.type}, levels {', '.join(extra.levels) or 'none'})"
        for extra in extra_fields
        if extra.name in known
        and (extra.type, extra.ordered, extra.levels)
        != (known[extra.name].type, known[extra.name].ordered, known[extra.name].levels)
    ]
    if other:
        raise ScoringError(
            f"extra fields {'; '.join(other)} are declared otherwise than the model was trained on;"
            " declare them alike in portfolio.toml, or train on this portfolio's like"
        )
