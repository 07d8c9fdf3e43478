"""One package from upload to result: read, checked, scored, valued, written."""

import hashlib
import json
import uuid
from collections.abc import Callable
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
from models.scoring import score_loans
from models.stability import stability
from models.tape_file import checked_input
from service.corrections import correction_document
from service.errors import UnprocessableError
from service.identifiers import KeyedHash
from service.kept_forecasts import write_forecasts
from service.package_folder import PackageFolder
from service.recovery import SOFTWARE, fault_documents, refuse_personal_values

Report = Callable[[str, int, int], None]
SCORES, TAPE, SUMMARY, PAGE = "scores.parquet", "tape.parquet", "summary.json", "page.html"
_LONGEST_TEXT: Final = 10_000
# Stability is a matter of shares: this many loans tell them.
_STABILITY_LOANS: Final = 200_000


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


def run_package(
    folder: PackageFolder,
    attempt: int,
    ending: str,
    parameters: dict[str, Any],
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
    hashes: KeyedHash,
    policy: str,
    report: Report,
    data_folder: Path,
) -> PackageResult:
    """Score and value a package; its files lie in the folder of the attempt.

    Parameters
    ----------
    folder : PackageFolder
        Holds the upload.
    attempt : int
        Which attempt this is.
    ending : str
        Format of the tape.
    parameters : dict
        `cut_off_date`, `reasons`.
    bundle : Bundle
        The model.
    corrections : CorrectionsInForce, optional
        Approved corrections of it; None without a book.
    hashes : KeyedHash
        For what is kept for ever.
    policy : {"drop", "refuse"}
        What becomes of personal data.
    report : callable
        Told the stage, loans done and loans in all.
    data_folder : Path
        Where the loans are kept for a replay.

    Raises
    ------
    features.errors.FeaturesError, ScoringError, UnprocessableError
        When the package cannot be used.
    """
    out = folder.result(attempt)
    out.mkdir(parents=True, exist_ok=True)
    report("checking", 0, 0)
    checked = _checked(folder, ending, bundle)
    refuse_personal_values(checked.faults, policy)
    day = parameters["cut_off_date"]
    cut_off = None if day is None else date.fromisoformat(day)
    tape = collected(checked.tape)
    _refuse_long_texts(tape)
    scores = score_loans(
        bundle.model,
        tape.lazy(),
        checked.ledger,
        explain=parameters["reasons"],
        cut_off_date=cut_off,
        progress=lambda done, total: report("scoring", done, total),
        corrections=corrections,
    )
    rows = checked.complete(scores)
    report("valuing", scores.height, rows.height)
    rows.write_parquet(out / SCORES)
    tape.write_parquet(out / TAPE)
    valuation = value_package(rows, tape, bundle.model, bundle.portfolio, cut_off)
    summary = summary_of(valuation) | {
        "model_version": bundle.version,
        "correction": correction_document(corrections),
        "data_quality": _quality(checked.faults, rows),
        "stability": _stability(tape, checked, bundle, cut_off),
    }
    _write(out / SUMMARY, json.dumps(summary, ensure_ascii=False, default=str))
    report("drawing", scores.height, rows.height)
    _draw(out, valuation, bundle)
    valuation_id = uuid.uuid4().hex
    kept, kept_ledger = PackageFolder.kept(data_folder, valuation_id)
    kept.parent.mkdir(exist_ok=True)
    kept_tape, kept_scores = hashes.hashed(tape), hashes.hashed(scores)
    kept_tape.write_parquet(kept)
    hashes.hashed(collected(checked.ledger)).write_parquet(kept_ledger)
    kept_forecasts = PackageFolder.forecasts(data_folder, valuation_id)
    write_forecasts(kept_forecasts, kept_scores, kept_tape, cut_off)
    return PackageResult(
        valuation_id=valuation_id,
        entry={
            "kind": "package",
            "output_hash": frame_hash(rows),
            "kept_output_hash": frame_hash(kept_scores),
            "kept_input_hash": file_hash(kept),
            "kept_ledger_hash": file_hash(kept_ledger),
            "kept_forecasts_hash": file_hash(kept_forecasts),
            "model_version": bundle.version,
            "correction": correction_document(corrections),
            "parameters": parameters,
            "software": SOFTWARE,
            "loans": rows.height,
            "expected_recovery_amount": valuation.expected_recovery_amount,
        },
        loans=rows.height,
        scored=scores.height - scores["reason"].count(),
    )


def _checked(folder: PackageFolder, ending: str, bundle: Bundle) -> CheckedInput:
    upload = folder.upload(ending)
    if not folder.ledger.is_file():
        return checked_input(upload, bundle)
    if ending not in (".parquet", ".arrow"):
        raise UnprocessableError("a ledger goes with a Parquet or Arrow tape: send the tape as one")
    scan = pl.scan_parquet if ending == ".parquet" else pl.scan_ipc
    return check_tape_and_ledger(scan(upload), pl.scan_parquet(folder.ledger), bundle)


def _refuse_long_texts(tape: pl.DataFrame) -> None:
    longest = tape.select(pl.col(pl.String).str.len_bytes().max())
    for name, size in longest.row(0, named=True).items() if longest.width else ():
        if (size or 0) > _LONGEST_TEXT:
            raise UnprocessableError(
                f"a value of {name} has {size:,} bytes, at most {_LONGEST_TEXT:,} are read"
            )


def _quality(faults: Faults, rows: pl.DataFrame) -> dict[str, Any]:
    return {
        "rows": rows.height,
        "rows_set_aside": rows["flags"].null_count(),
        "errors": faults.number("error"),
        "warnings": faults.number("warning"),
        "by_rule": faults.counts(),
        "first_faults": fault_documents(faults),
    }


def _stability(
    tape: pl.DataFrame, checked: CheckedInput, bundle: Bundle, cut_off: date | None
) -> list[dict[str, Any]]:
    some = tape.gather_every(max(1, tape.height // _STABILITY_LOANS)).lazy()
    features = build_features(some, checked.ledger, bundle.model.spec, cut_off)
    return stability(collected(features), bundle.model).to_dicts()


def _draw(out: Path, valuation: PackageValuation, bundle: Bundle) -> None:
    _write(out / PAGE, render_page(valuation, bundle))
    for name in PICTURES:
        picture = render_picture(valuation, name)
        if picture is not None:
            _write(out / f"{name}.svg", picture)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def frame_hash(frame: pl.DataFrame) -> str:
    """SHA-256 of a table's values, to the last bit."""
    digest = hashlib.sha256()
    for block in frame.iter_slices(50_000):
        digest.update(block.write_ipc_stream(None, compression="uncompressed").getvalue())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
