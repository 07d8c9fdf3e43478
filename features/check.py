"""Checking a portfolio or a bare tape: all faults at once, good rows usable, bad rows set aside.

Broken limits and rules are counted in one streamed pass over each table. Only where something is
broken are rows looked at, so a clean table is never held in memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from typing import Final

import polars as pl

from features.checked import CheckedPortfolio, CheckedTape
from features.column_types import ROW, TypedTable, WantedColumns, typed_table
from features.errors import PortfolioError
from features.evaluation import Evaluation, RuleSet, evaluate
from features.faults import Fault, Faults, Severity
from features.frames import AnyFrame, collected
from features.ledger import Ledger
from features.ledger_rules import (
    POSTING,
    REPEATED,
    SEVERAL_UNDATED,
    joined_with_loans,
    ledger_rules,
    loan_facts,
)
from features.portfolio import LEDGER_FILE, TAPE_FILE, ExtraField, Portfolio, PortfolioMeta
from features.rules import Expected, Rule, is_vital, text_rules
from features.tape import Tape, tape_dtypes
from features.tape_rules import COPIES, tape_rules

LISTED_PER_RULE: Final = 1_000


def check_tape(
    tape: AnyFrame,
    expected: Expected | PortfolioMeta,
    file: str = TAPE_FILE,
    *,
    row_numbers: pl.Series | None = None,
    listed_per_rule: int = LISTED_PER_RULE,
) -> CheckedTape:
    """Check a tape.

    Parameters
    ----------
    tape : pl.LazyFrame or pl.DataFrame
        One row a loan; columns in any order and, where readable, of any type. A table in memory is
        checked at once, a plan is streamed.
    expected : Expected or PortfolioMeta
        What the tape must carry: basis of recovery, extra fields, currency.
    file : str
        Name of the file, for the faults.
    row_numbers : pl.Series, optional
        The file's own number of each row, where rows were left out in reading it.
    listed_per_rule : int
        Faults listed at most for each rule and field; all are counted.

    Raises
    ------
    PortfolioError
        When the table cannot be read to its end.
    """
    wanted = Expected.of(expected) if isinstance(expected, PortfolioMeta) else expected
    with _read_to_its_end(file):
        return _checked_tape(tape, wanted, file, row_numbers, listed_per_rule)


def _checked_tape(
    tape: AnyFrame,
    wanted: Expected,
    file: str,
    row_numbers: pl.Series | None,
    listed_per_rule: int,
    may_be_empty: bool = False,
) -> CheckedTape:
    typed = _typed_tape(tape, wanted, file)
    frame = _flagged_copies(typed.frame)
    currency = wanted.currency or _usual_currency(typed.frame)
    evaluation = evaluate(
        frame,
        _tape_rule_set(typed, wanted, currency),
        (*typed.present, *typed.undeclared_text),
        file,
        listed_per_rule,
    )
    required = [name for name, column in Tape.columns().items() if not column.nullable]
    empty = [] if may_be_empty else _empty_faults(typed, evaluation, file, required, "error")
    faults = Faults.merged(Faults.of(typed.faults), Faults.of(empty), evaluation.faults)
    return CheckedTape(
        tape=_good_rows(typed, evaluation),
        rows=evaluation.rows,
        faults=faults if row_numbers is None else faults.renumbered(row_numbers),
        set_aside=evaluation.set_aside,
    )


def check_portfolio(
    portfolio: Portfolio,
    *,
    known_loans: pl.LazyFrame | None = None,
    listed_per_rule: int = LISTED_PER_RULE,
) -> CheckedPortfolio:
    """Check the tape and ledger of a portfolio.

    Parameters
    ----------
    portfolio : Portfolio
        As `features.portfolio.read_portfolio` opens it.
    known_loans : pl.LazyFrame, optional
        Checked tape rows delivered before, of which the ledger may hold cash too; the tape may then
        be without rows.
    listed_per_rule : int
        Faults listed at most for each rule and field; all are counted.

    Raises
    ------
    PortfolioError
        When a table cannot be read to its end.
    """
    with _read_to_its_end(str(portfolio.path or portfolio.meta.name)):
        return _checked_portfolio(portfolio, known_loans, listed_per_rule)


@contextmanager
def _read_to_its_end(name: str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.ComputeError, OSError) as error:
        raise PortfolioError(
            f"{name}: cannot be read to its end ({str(error).splitlines()[0]}); import the source"
            " again"
        ) from error


def _checked_portfolio(
    portfolio: Portfolio, known_loans: pl.LazyFrame | None, listed_per_rule: int
) -> CheckedPortfolio:
    wanted = Expected.of(portfolio.meta)
    tape = _checked_tape(
        portfolio.tape, wanted, TAPE_FILE, None, listed_per_rule, known_loans is not None
    )
    loans = loan_facts(_typed_tape(portfolio.tape, wanted, TAPE_FILE).frame.lazy())
    if known_loans is not None:
        earlier = loan_facts(known_loans).join(loans, on="loan_id", how="anti")
        loans = pl.concat([loans, earlier])
    columns = Ledger.columns()
    typed = typed_table(portfolio.ledger, _ledger_columns(), LEDGER_FILE)
    evaluation = evaluate(
        joined_with_loans(_flagged_clashes(typed.frame.lazy(), portfolio.meta), loans.lazy()),
        _rule_set(typed, ledger_rules(portfolio.meta)),
        typed.present,
        LEDGER_FILE,
        listed_per_rule,
    )
    ledger = _good_rows(typed, evaluation)
    gone = tape.set_aside.lazy().select("loan_id").drop_nulls().unique()
    sound = tape.tape.select("loan_id")
    if known_loans is not None:
        # A loan delivered well before stays with its cash when its row now is bad.
        gone = gone.join(known_loans, on="loan_id", how="anti")
        sound = pl.concat([sound, known_loans.select("loan_id")])
    followed = 0
    if tape.set_aside.height:
        followed = _height(ledger.join(gone, on="loan_id", how="semi"))
        ledger = ledger.join(gone, on="loan_id", how="anti", maintain_order="left")
    required = [name for name, column in columns.items() if not column.nullable]
    return CheckedPortfolio(
        portfolio=portfolio.with_tables(tape.tape, ledger),
        faults=Faults.merged(
            tape.faults,
            Faults.of(typed.faults),
            Faults.of(_empty_faults(typed, evaluation, LEDGER_FILE, required, "warning")),
            evaluation.faults,
        ),
        tape_rows=tape.rows,
        ledger_rows=evaluation.rows,
        tape_set_aside=tape.set_aside,
        ledger_set_aside=evaluation.set_aside,
        ledger_rows_of_set_aside_loans=followed,
        incomplete_loans=_incomplete_loans(evaluation, sound),
        checked=portfolio,
    )


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect(engine="streaming").item())


def _incomplete_loans(ledger: Evaluation, sound: pl.LazyFrame) -> pl.DataFrame:
    lost = ledger.set_aside.lazy().select("loan_id").unique()
    return lost.join(sound, on="loan_id", how="semi").sort("loan_id").collect(engine="streaming")


def _typed_tape(tape: AnyFrame, expected: Expected, file: str) -> TypedTable:
    return typed_table(tape, _tape_columns(expected.extra_fields), file)


@lru_cache(maxsize=16)
def _tape_columns(extra_fields: tuple[ExtraField, ...]) -> WantedColumns:
    return WantedColumns(
        tape_dtypes() | {extra.name: extra.dtype for extra in extra_fields},
        frozenset(name for name, column in Tape.columns().items() if is_vital(name, column)),
        "not a field of the tape: declare it under extra_fields, or drop it",
    )


@cache
def _ledger_columns() -> WantedColumns:
    dtypes = {name: column.dtype for name, column in Ledger.columns().items()}
    return WantedColumns(dtypes, frozenset(dtypes), "not a field of the ledger: drop it")


def _tape_rule_set(typed: TypedTable, expected: Expected, currency: str | None) -> RuleSet:
    if typed.rules:
        return _rule_set(typed, tape_rules(expected, currency, typed.present))
    return _known_rule_set(expected, currency, typed.present, typed.undeclared_text, typed.absent)


# Tapes of one sender carry the same columns: their rules are made once.
@lru_cache(maxsize=64)
def _known_rule_set(
    expected: Expected,
    currency: str | None,
    present: tuple[str, ...],
    undeclared_text: tuple[str, ...],
    absent: tuple[str, ...],
) -> RuleSet:
    extra = {field.name: field.dtype for field in expected.extra_fields}
    schema = pl.Schema(tape_dtypes() | extra)
    text = [name for name in present if schema[name] == pl.String]
    rules = tape_rules(expected, currency, present)
    return RuleSet.of([*rules, *text_rules([*text, *undeclared_text])], absent, schema)


def _rule_set(typed: TypedTable, rules: Sequence[Rule]) -> RuleSet:
    return RuleSet.of(_all_rules(typed, rules), typed.absent, typed.frame.collect_schema())


def _all_rules(typed: TypedTable, rules: Sequence[Rule]) -> list[Rule]:
    """Put the rules of reading and of text beside `rules`.

    A value that was there and could not be read is one fault: it is not missing as well.
    """
    reading = {rule.field: rule for rule in typed.rules}
    once = []
    for rule in rules:
        read = reading.get(rule.field)
        if read is not None:
            rule = replace(rule, original=read.original)  # noqa: PLW2901
            if rule.name.startswith("missing"):
                rule = replace(rule, holds=rule.holds | read.broken)  # noqa: PLW2901
        once.append(rule)
    schema = typed.frame.collect_schema()
    text = [name for name in typed.present if schema[name] == pl.String]
    return [*typed.rules, *once, *text_rules([*text, *typed.undeclared_text])]


def _usual_currency(frame: AnyFrame) -> str | None:
    currencies = frame.lazy().select("currency").drop_nulls().group_by("currency").len()
    usual = currencies.sort("len", "currency", descending=[True, False]).head(1)
    found = usual.collect(engine="streaming")["currency"].to_list()
    return str(found[0]) if found else None


def _flagged_copies(frame: AnyFrame) -> AnyFrame:
    if isinstance(frame, pl.DataFrame) and frame["loan_id"].n_unique() == frame.height:
        return frame.with_columns(pl.lit(1, dtype=pl.get_index_type()).alias(COPIES))
    loans = frame.select("loan_id").drop_nulls().group_by("loan_id").agg(pl.len().alias(COPIES))
    repeated = collected(loans.filter(pl.col(COPIES) > 1))
    if not repeated.height:
        return frame.with_columns(pl.lit(1, dtype=pl.get_index_type()).alias(COPIES))
    return frame.lazy().join(repeated.lazy(), on="loan_id", how="left")


def _flagged_clashes(frame: pl.LazyFrame, meta: PortfolioMeta) -> pl.LazyFrame:
    # Postings are told apart by a hash first: ten million keys would not fit beside the table.
    key = pl.struct(POSTING).hash()
    rows, keys = frame.select(pl.len(), key.n_unique()).collect(engine="streaming").row(0)
    if rows == keys:
        frame = frame.with_columns(pl.lit(None, dtype=pl.Boolean).alias(REPEATED))
    else:
        hashed = frame.select(*POSTING, key.alias("hash"))
        alike = hashed.group_by("hash").len().filter(pl.col("len") > 1).select("hash")
        repeated = (
            hashed.join(alike, on="hash", how="semi")
            .group_by(POSTING)
            .len()
            .filter(pl.col("len") > 1)
            .select(*POSTING, pl.lit(True).alias(REPEATED))
            .collect(engine="streaming")
        )
        frame = frame.join(repeated.lazy(), on=POSTING, how="left", nulls_equal=True)
    if meta.recovery_timing != "none":
        return frame.with_columns(pl.lit(None, dtype=pl.Boolean).alias(SEVERAL_UNDATED))
    several = (
        frame.filter(pl.col("period").is_null())
        .group_by("loan_id")
        .len()
        .filter(pl.col("len") > 1)
        .select("loan_id", pl.lit(True).alias(SEVERAL_UNDATED))
        .collect(engine="streaming")
    )
    flagged = frame.join(several.lazy(), on="loan_id", how="left")
    return flagged.with_columns(
        pl.when(pl.col("period").is_null()).then(SEVERAL_UNDATED).alias(SEVERAL_UNDATED)
    )


def _good_rows(typed: TypedTable, evaluation: Evaluation) -> pl.LazyFrame:
    frame = typed.frame
    kept: dict[str, pl.Expr] = {}
    for rule in evaluation.blanked:
        kept[rule.field] = kept.get(rule.field, pl.lit(True)) & rule.broken.not_()
    if kept:
        frame = frame.with_columns(
            pl.when(condition).then(pl.col(name)).alias(name) for name, condition in kept.items()
        )
    if evaluation.set_aside.height:
        bad = evaluation.set_aside.lazy().select(pl.col("row").cast(pl.get_index_type()).alias(ROW))
        frame = frame.lazy().join(bad, on=ROW, how="anti", maintain_order="left")
    return frame.select(typed.present).lazy()


def _empty_faults(
    typed: TypedTable,
    evaluation: Evaluation,
    file: str,
    required: Sequence[str],
    severity: Severity,
) -> list[Fault]:
    if evaluation.rows:
        return []
    told = {
        "error": "no rows: nothing can be valued; export the source again",
        "warning": "no rows: loans can be scored, but there is nothing to learn from",
    }
    absent = [
        Fault(file, None, name, None, "absent_column", "the column is absent: it is required")
        for name in required
        if name not in typed.present
    ]
    return [Fault(file, None, None, None, "empty_file", told[severity], severity), *absent]
