"""A valuation made again of what is on record: the same to the byte, or what is missing."""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from models.bundle import Bundle
from models.correction import CorrectionsInForce
from models.errors import BundleError, CorrectionError
from models.scoring import score_blocks
from service.blocks import BlocksHash, file_hash
from service.errors import ConflictError, UnprocessableError
from service.package_folder import LEDGER, TAPE, PackageFolder
from service.recovery import SOFTWARE, answer_request, replayed
from service.schemas import decoded
from service.state import Service


def replay(service: Service, row: sa.Row[Any], body: bytes) -> bytes:
    """Answer of a valuation, made again.

    Parameters
    ----------
    service : Service
        The service.
    row : sqlalchemy row
        The valuation.
    body : bytes
        The request as it was sent, where the caller has kept it: the answer then bears its own
        identifiers. Empty: it is made of the loans on record, with keyed hashes in their place.

    Raises
    ------
    ConflictError
        When something is missing, or the bytes differ; the problem says what.
    UnprocessableError
        When `body` is another one.
    """
    entry = json.loads(row.entry)
    try:
        bundle = service.model.archived(entry["model_version"])
    except BundleError as error:
        raise _missing(f"model {entry['model_version']}: {error}") from error
    try:
        corrections = service.corrections.recorded(entry["correction"], bundle.version)
    except CorrectionError as error:
        raise _missing(f"corrections {entry['correction']['book_version']}: {error}") from error
    if entry["kind"] == "package":
        return _package(service.settings.data_folder, row.id, entry, bundle, corrections)
    if body:
        return _of_body(service, row.id, entry, bundle, corrections, body)
    if row.input is None:
        raise _missing("the loans on record")
    again = replayed(row.input, entry["parameters"], bundle, corrections, row.id)
    _refuse_other(hashlib.sha256(again).hexdigest(), entry["kept_output_hash"], entry)
    return again


def _of_body(
    service: Service,
    valuation_id: str,
    entry: dict[str, Any],
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
    body: bytes,
) -> bytes:
    if hashlib.sha256(body).hexdigest() != entry["input_hash"]:
        raise UnprocessableError(
            "the body is not the one this valuation was made of: send it as it was sent then, or"
            " send none"
        )
    policy = service.settings.personal_data
    answer = answer_request(
        decoded(body), bundle, corrections, valuation_id, service.hashes, policy
    )
    _refuse_other(hashlib.sha256(answer.body).hexdigest(), entry["output_hash"], entry)
    return answer.body


def _package(
    data_folder: Path,
    valuation_id: str,
    entry: dict[str, Any],
    bundle: Bundle,
    corrections: CorrectionsInForce | None,
) -> bytes:
    kept = PackageFolder(data_folder, entry["package_id"]).kept(entry["attempt"])
    tape, ledger = kept / TAPE, kept / LEDGER
    for path, name in ((tape, "kept_input_hash"), (ledger, "kept_ledger_hash")):
        if not path.is_file():
            raise _missing(f"the loans on record ({path.name})")
        if file_hash(path) != entry[name]:
            raise _missing(f"the loans on record as they were: {path.name} was altered")
    parameters = entry["parameters"]
    day = parameters["cut_off_date"]
    digest = BlocksHash()
    for block in score_blocks(
        bundle.model,
        pl.scan_parquet(tape),
        pl.scan_parquet(ledger),
        explain=parameters["reasons"],
        cut_off_date=None if day is None else date.fromisoformat(day),
        corrections=corrections,
    ):
        digest.add(block)
    found = digest.hexdigest()
    _refuse_other(found, entry["kept_output_hash"], entry)
    told = {"valuation_id": valuation_id, "same": True, "kept_output_hash": found}
    return json.dumps(told).encode()


def _refuse_other(found: str, recorded: str, entry: dict[str, Any]) -> None:
    if found != recorded:
        other = {
            name: {"then": number, "now": SOFTWARE.get(name)}
            for name, number in entry["software"].items()
            if SOFTWARE.get(name) != number
        }
        raise ConflictError(
            "the answer differs from the one on record", missing=[], other_software=other
        )


def _missing(what: str) -> ConflictError:
    return ConflictError(f"the valuation cannot be made again: {what} is missing", missing=[what])
