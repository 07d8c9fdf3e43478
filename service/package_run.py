"""One package from upload to result: read, checked, scored, valued, written.

Loans are scored, written and hashed a block at a time: a million of them need no more memory than
their features.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from features.faults import Faults
from features.frames import collected
from features.pipeline import build_features
from models.bundle import Bundle
from models.correction import CorrectionsInForce
from models.package import PackageValuation, value_package
from models.package_report.page import render_page
from models.package_report.pictures import PICTURES, render_picture
from models.package_report.summary import summary_of
from models.request import CheckedInput, check_tape_and_ledger
from models.scoring import score_blocks
from models.stability import stability
from models.tape_file import checked_input
from service.blocks import BlocksHash, blocks_of, file_hash, write_blocks, write_plan
from service.corrections import correction_document
from service.errors import UnprocessableError
from service.identifiers import KeyedHash
from service.kept_forecasts import forecasts_of
from service.package_folder import FORECASTS, LEDGER, PAGE, SCORES, SUMMARY, TAPE, PackageFolder
from service.recovery import (
    SOFTWARE,
    fault_documents,
    refuse_personal_headers,
    refuse_personal_values,
)

Report = Callable[[str, int, int], None]
_LONGEST_TEXT: Final = 10_000
# Stability is a matter of shares: this many loans tell them.
_STABILITY_LOANS: Final = 200_000


@dataclass(frozen=True)
class PackageOrder:
    """What is to be valued.

    Attributes
    ----------
    folder : PackageFolder
        Holds the upload.
    attempt : int
        Which attempt this is; its files are its own.
    ending : str
        Format of the tape.
    parameters : dict
        `cut_off_date`, `reasons`.
    """

    folder: PackageFolder
    attempt: int
    ending: str
    parameters: dict[str, Any]

    @property
    def out(self) -> Path:
        """Folder of what is made."""
        return self.folder.result(self.attempt)

    @property
    def cut_off_date(self) -> date | None:
        """Later day to value at; None is the tape's own."""
        day = self.parameters["cut_off_date"]
        return None if day is None else date.fromisoformat(day)


@dataclass(frozen=True)
class Means:
    """What packages are valued with.

    Attributes
    ----------
    bundle : Bundle
        The model.
    corrections : CorrectionsInForce, optional
        Approved corrections of it; None without a book.
    hashes : KeyedHash
        For what is kept for ever.
    policy : {"drop", "refuse"}
        What becomes of personal data.
    """

    bundle: Bundle
    corrections: CorrectionsInForce | None
    hashes: KeyedHash
    policy: str


@dataclass(frozen=True)
class PackageResult:
    """What came of a package.

    Attributes
    ----------
    valuation_id : str
        Name on record.
    entry : dict
        What goes on record, but who and when.
    loans, scored : int
        Loans in all, and with a forecast.
    """

    valuation_id: str
    entry: dict[str, Any]
    loans: int
    scored: int


def run_package(order: PackageOrder, means: Means, report: Report) -> PackageResult:
    """Score and value a package; its files lie in the folder of the attempt.

    Parameters
    ----------
    order : PackageOrder
        What to value.
    means : Means
        With what.
    report : callable
        Told the stage, loans done and loans in all.

    Raises
    ------
    features.errors.FeaturesError, ScoringError, UnprocessableError
        When the package cannot be used.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    report("checking", 0, 0)
    checked = _checked(order, means)
    scored = _score(order, means, checked, report)
    report("valuing", scored.loans, scored.loans)
    valuation = value_package(
        pl.scan_parquet(order.out / SCORES),
        pl.scan_parquet(order.out / TAPE),
        means.bundle.model,
        means.bundle.portfolio,
        order.cut_off_date,
    )
    summary = summary_of(valuation) | {
        "model_version": means.bundle.version,
        "correction": correction_document(means.corrections),
        "data_quality": _quality(checked, scored.loans),
        "stability": _stability(order, means.bundle),
    }
    _write(order.out / SUMMARY, json.dumps(summary, ensure_ascii=False, default=str))
    report("drawing", scored.loans, scored.loans)
    _draw(order.out, valuation, means.bundle)
    report("keeping", scored.loans, scored.loans)
    entry = {
        "kind": "package",
        "output_hash": file_hash(order.out / SCORES),
        "kept_output_hash": scored.kept_hash,
        **_keep(order, means.hashes),
        "model_version": means.bundle.version,
        "correction": correction_document(means.corrections),
        "parameters": order.parameters,
        "software": SOFTWARE,
        "loans": scored.loans,
        "expected_recovery_amount": valuation.expected_recovery_amount,
    }
    return PackageResult(uuid.uuid4().hex, entry, scored.loans, valuation.scored_loans)


def _checked(order: PackageOrder, means: Means) -> CheckedInput:
    """Check the upload, and write its good rows: they are read again and again."""
    checked = _checked_upload(order, means.bundle)
    undeclared = checked.faults.tally["field"].drop_nulls().to_list()
    refuse_personal_headers([*checked.unread, *undeclared], means.policy)
    refuse_personal_values(checked.faults, means.policy)
    write_plan(order.out / TAPE, checked.tape)
    write_plan(order.out / LEDGER, checked.ledger)
    _refuse_long_texts(pl.scan_parquet(order.out / TAPE))
    return checked


def _checked_upload(order: PackageOrder, bundle: Bundle) -> CheckedInput:
    folder, upload = order.folder, order.folder.upload(order.ending)
    if not folder.ledger.is_file():
        return checked_input(upload, bundle)
    if order.ending not in (".parquet", ".arrow"):
        raise UnprocessableError("a ledger goes with a Parquet or Arrow tape: send the tape as one")
    scan = pl.scan_parquet if order.ending == ".parquet" else pl.scan_ipc
    return check_tape_and_ledger(scan(upload), pl.scan_parquet(folder.ledger), bundle)


def _refuse_long_texts(tape: pl.LazyFrame) -> None:
    longest = collected(tape.select(pl.col(pl.String).str.len_bytes().max()))
    for name, size in longest.row(0, named=True).items() if longest.width else ():
        if (size or 0) > _LONGEST_TEXT:
            raise UnprocessableError(
                f"a value of {name} has {size:,} bytes, at most {_LONGEST_TEXT:,} are read"
            )


@dataclass(frozen=True)
class _Scored:
    """Loans written, and the hash that a replay of what is kept is held to."""

    loans: int
    kept_hash: str


def _score(order: PackageOrder, means: Means, checked: CheckedInput, report: Report) -> _Scored:
    kept_hash = BlocksHash()

    def noted() -> Iterator[pl.DataFrame]:
        for block in score_blocks(
            means.bundle.model,
            pl.scan_parquet(order.out / TAPE),
            pl.scan_parquet(order.out / LEDGER),
            explain=order.parameters["reasons"],
            cut_off_date=order.cut_off_date,
            progress=lambda done, total: report("scoring", done, total),
            corrections=means.corrections,
        ):
            kept_hash.add(means.hashes.hashed(block))
            yield block

    loans = write_blocks(order.out / SCORES, checked.complete_blocks(noted()))
    return _Scored(loans, kept_hash.hexdigest())


def _keep(order: PackageOrder, hashes: KeyedHash) -> dict[str, str]:
    """Keep what a replay reads and what later cash will meet, and give hashes for the record."""
    kept = order.folder.kept(order.attempt)
    kept.mkdir(parents=True, exist_ok=True)
    for name in (TAPE, LEDGER):
        write_blocks(kept / name, map(hashes.hashed, blocks_of(order.out / name)))
    scores, tape = pl.scan_parquet(order.out / SCORES), pl.scan_parquet(order.out / TAPE)
    forecasts = forecasts_of(scores, tape, order.cut_off_date)
    write_blocks(kept / FORECASTS, map(hashes.hashed, forecasts))
    return {
        "kept_input_hash": file_hash(kept / TAPE),
        "kept_ledger_hash": file_hash(kept / LEDGER),
        "kept_forecasts_hash": file_hash(kept / FORECASTS),
    }


def _quality(checked: CheckedInput, loans: int) -> dict[str, Any]:
    faults: Faults = checked.faults
    return {
        "rows": loans,
        "rows_set_aside": checked.set_aside.height,
        "errors": faults.number("error"),
        "warnings": faults.number("warning"),
        "by_rule": faults.counts(),
        "first_faults": fault_documents(faults),
    }


def _stability(order: PackageOrder, bundle: Bundle) -> list[dict[str, Any]]:
    tape, ledger = pl.scan_parquet(order.out / TAPE), pl.scan_parquet(order.out / LEDGER)
    loans = int(tape.select(pl.len()).collect().item())
    some = tape.gather_every(max(1, loans // _STABILITY_LOANS))
    features = build_features(some, ledger, bundle.model.spec, order.cut_off_date)
    return stability(collected(features), bundle.model).to_dicts()


def _draw(out: Path, valuation: PackageValuation, bundle: Bundle) -> None:
    _write(out / PAGE, render_page(valuation, bundle))
    for name in PICTURES:
        picture = render_picture(valuation, name)
        if picture is not None:
            _write(out / f"{name}.svg", picture)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
