"""An answer to loans in JSON: scored the one way there is, and made again for a replay."""

import hashlib
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any, Final

import msgspec
import polars as pl

from features.faults import Faults
from features.ledger import Ledger
from features.sources.result import no_ledger
from features.tape import OUTCOME_FIELDS, tape_dtypes
from models.bundle import Bundle
from models.correction import CorrectionsInForce
from models.request import CheckedInput, check_bare_tape, check_tape_and_ledger
from models.scoring import score_loans
from models.unscored import UNSCORED_SCHEMA, put_back, unscored_rows
from service.conversion import ledger_of, loan_documents, packed, tape_of, unpacked
from service.corrections import correction_document
from service.errors import UnprocessableError
from service.identifiers import KeyedHash, personal_headers
from service.kept_forecasts import rates_of
from service.schemas import RecoveriesRequest

_FILE: Final = "request"
_FAULTS_TOLD: Final = 100
# What shapes the numbers, beside the bundle.
SOFTWARE: Final = {name: version(name) for name in ("npl-recovery", "lightgbm", "numpy", "polars")}


@dataclass(frozen=True)
class Answer:
    """An answer, and what is kept of it.

    Attributes
    ----------
    body : bytes
        What the caller gets.
    kept_hash : str
        SHA-256 of the answer as it is kept: without faults, identifiers as keyed hashes.
    stored : bytes
        The checked loans of which a replay makes the kept answer, and its rates.
    scored, set_aside : int
        Loans with a forecast, and without.
    """

    body: bytes
    kept_hash: str
    stored: bytes
    scored: int
    set_aside: int


def answer_request(
    request: RecoveriesRequest,
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
    valuation_id: str,
    hashes: KeyedHash,
    policy: str,
) -> Answer:
    """Score the loans of a request.

    Parameters
    ----------
    request : RecoveriesRequest
        The loans.
    bundle : Bundle
        The model.
    corrections : CorrectionsInForce, optional
        Approved corrections of it; None without a book.
    valuation_id : str
        Name of the answer on record.
    hashes : KeyedHash
        For what is kept.
    policy : {"drop", "refuse"}
        What becomes of personal data.

    Raises
    ------
    UnprocessableError
        When `policy` refuses the loans.
    features.errors.FeaturesError, models.errors.ScoringError
        When they cannot be used as they are.
    """
    tape = tape_of(request.loans, request.defaults, bundle)
    refuse_personal_headers(tape.columns, policy)
    checked = _checked(request, tape, bundle)
    refuse_personal_values(checked.faults, policy)
    good, cash = checked.tape.collect(), checked.ledger.collect()
    unscored = unscored_rows(checked.set_aside, checked.faults, checked.file)
    rows = _rows(good, cash, unscored, bundle, corrections, request.parameters())
    documents = loan_documents(rows, bundle)
    head = _head(bundle, corrections, valuation_id)
    body = msgspec.json.encode(
        head | {"faults": fault_documents(checked.faults), "loans": documents}
    )
    for document in documents:
        document["loan_id"] = hashes.of(document["loan_id"])
    parts = (good, cash, unscored, rates_of(rows))
    stored = [packed(hashes.hashed(frame)) for frame in parts]
    return Answer(
        body=body,
        kept_hash=hashlib.sha256(msgspec.json.encode(head | {"loans": documents})).hexdigest(),
        stored=msgspec.msgpack.encode(stored),
        scored=rows.height - rows["reason"].count(),
        set_aside=rows["reason"].count(),
    )


def replayed(
    stored: bytes,
    parameters: dict[str, Any],
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
    valuation_id: str,
) -> bytes:
    """The kept answer, made again of the loans on record.

    Parameters
    ----------
    stored : bytes
        As `Answer.stored`.
    parameters : dict
        As `RecoveriesRequest.parameters`.
    bundle : Bundle
        The model that answered.
    corrections : CorrectionsInForce, optional
        The corrections it answered with.
    valuation_id : str
        The valuation's.
    """
    extra = {field.name: field.dtype for field in bundle.model.spec.extra_fields}
    cash_dtypes = {name: column.dtype for name, column in Ledger.columns().items()}
    known = {n: t for n, t in tape_dtypes().items() if n not in OUTCOME_FIELDS}
    schemas = (known | extra, cash_dtypes, UNSCORED_SCHEMA)
    parts = msgspec.msgpack.decode(stored, type=list[bytes])
    good, cash, unscored = map(unpacked, parts, schemas)
    rows = _rows(good, cash, unscored, bundle, corrections, parameters)
    return msgspec.json.encode(
        _head(bundle, corrections, valuation_id) | {"loans": loan_documents(rows, bundle)}
    )


def _checked(request: RecoveriesRequest, tape: pl.DataFrame, bundle: Bundle) -> CheckedInput:
    if not request.ledger:
        return check_bare_tape(tape, bundle, _FILE)
    return check_tape_and_ledger(tape, ledger_of(request.ledger), bundle)


def _rows(
    good: pl.DataFrame,
    cash: pl.DataFrame,
    unscored: pl.DataFrame,
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
    parameters: dict[str, Any],
) -> pl.DataFrame:
    day = parameters["cut_off_date"]
    scores = score_loans(
        bundle.model,
        good,
        cash if cash.height else no_ledger(),
        explain="factors" if parameters["reasons"] else False,
        cut_off_date=None if day is None else date.fromisoformat(day),
        corrections=corrections,
    )
    return put_back(scores, unscored)


def _head(
    bundle: Bundle, corrections: CorrectionsInForce | None, valuation_id: str
) -> dict[str, Any]:
    return {
        "valuation_id": valuation_id,
        "model_version": bundle.version,
        "correction": correction_document(corrections),
        "currency": bundle.portfolio.currency,
        "recovery_basis": bundle.portfolio.recovery_basis,
        "notes": bundle.notes,
    }


def fault_documents(faults: Faults) -> list[dict[str, Any]]:
    """The first faults as plain values; errors first."""
    if faults.listed.is_empty():
        return []
    ordered = faults.listed.sort("severity", maintain_order=True).head(_FAULTS_TOLD)
    return ordered.drop("file").to_dicts()


def refuse_personal_headers(headers: list[str], policy: str) -> None:
    """Refuse columns that name persons, where the policy is to refuse.

    Columns that are none of the schema's are dropped otherwise: nothing reads or keeps them.

    Raises
    ------
    UnprocessableError
        Naming the columns.
    """
    found = personal_headers(headers)
    if found and policy == "refuse":
        raise UnprocessableError(
            f"columns {', '.join(found[:5])} hold personal data: leave them out; loans and"
            " borrowers are told apart by identifiers without a meaning"
        )


def refuse_personal_values(faults: Faults, policy: str) -> None:
    """Refuse identity and phone numbers, where the policy is to refuse.

    Raises
    ------
    UnprocessableError
        Naming the fields.
    """
    if policy != "refuse" or faults.tally.is_empty():
        return
    found = faults.tally.filter(pl.col("rule") == "personal_data")["field"].unique().to_list()
    if found:
        raise UnprocessableError(
            f"identity or phone numbers stand in {', '.join(sorted(found))}: replace them by"
            " identifiers without a meaning, such as a keyed hash"
        )
