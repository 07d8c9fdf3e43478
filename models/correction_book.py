"""The book of corrections: events that are only ever added, one JSON document a line.

The state of a correction follows from its events. The version of a book is the hash of its lines.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from features.replacing import replacing_file
from models.correction import Correction, CorrectionsInForce, Named, Proposal
from models.errors import CorrectionError


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Proposed(_Event):
    """A correction was fitted and proposed."""

    event: Literal["proposed"] = "proposed"
    id: str
    proposal: Proposal


class Approved(_Event):
    """Somebody else approved it, for a time."""

    event: Literal["approved"] = "approved"
    id: str
    by: Named
    on: date
    reason: Named
    valid_from: date
    expires_on: date


class Rejected(_Event):
    """A proposal was turned down."""

    event: Literal["rejected"] = "rejected"
    id: str
    by: Named
    on: date
    reason: Named


class Expired(_Event):
    """An approval was ended before its date."""

    event: Literal["expired"] = "expired"
    id: str
    by: Named
    on: date
    reason: Named


Event = Annotated[Proposed | Approved | Rejected | Expired, Field(discriminator="event")]
_EVENT: TypeAdapter[Proposed | Approved | Rejected | Expired] = TypeAdapter(Event)


@dataclass(frozen=True)
class CorrectionBook:
    """Events in the order they were written.

    Attributes
    ----------
    events : tuple of Proposed, Approved, Rejected or Expired
        Each checked against those before it.
    """

    events: tuple[Proposed | Approved | Rejected | Expired, ...] = ()

    @property
    def version(self) -> str:
        """First 16 digits of the SHA-256 of its lines: the same events, the same version."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """Every correction with what was last decided of it, in order of proposal."""
        found: dict[str, Correction] = {}
        for event in self.events:
            if isinstance(event, Proposed):
                found[event.id] = Correction(proposal=event.proposal)
                continue
            decided: dict[str, object] = {
                "decision": event.event,
                "approver": event.by,
                "decision_reason": event.reason,
                "decided_on": event.on,
            }
            if isinstance(event, Approved):
                decided |= {"valid_from": event.valid_from, "expires_on": event.expires_on}
            found[event.id] = found[event.id].model_copy(update=decided)
        return tuple(found.values())

    def text(self) -> str:
        """The book as it is written: a line an event."""
        return "".join(
            json.dumps(event.model_dump(mode="json"), sort_keys=True, ensure_ascii=False) + "\n"
            for event in self.events
        )

    def find(self, identifier: str) -> Correction:
        """Correction of an id.

        Raises
        ------
        CorrectionError
            When the book has none of that id.
        """
        for correction in self.corrections:
            if correction.id == identifier:
                return correction
        raise CorrectionError(
            f"the book has no correction {identifier!r}; 'npl corrections list' names them"
        )

    def in_force(self, on: date, model_version: str) -> CorrectionsInForce:
        """Corrections of one model that apply on the day of valuation.

        A correction mends the misses of the model it was fitted on, and no other.
        """
        held = [
            c
            for c in self.corrections
            if c.in_force(on) and c.proposal.evidence.model_version == model_version
        ]
        held.sort(key=lambda c: (-len(c.proposal.conditions), -c.proposal.credibility, c.id))
        return CorrectionsInForce(tuple(held), on, self.version)

    def propose(self, proposals: Iterable[Proposal]) -> "CorrectionBook":
        """Book with new proposals.

        Raises
        ------
        CorrectionError
            When one of them is in the book already.
        """
        known = {correction.id for correction in self.corrections}
        added = [Proposed(id=proposal.id, proposal=proposal) for proposal in proposals]
        twice = [event.id for event in added if event.id in known]
        if twice:
            raise CorrectionError(f"already in the book: {', '.join(twice)}; approve or reject it")
        return CorrectionBook((*self.events, *added))

    def approve(
        self, identifier: str, by: str, reason: str, on: date, valid_from: date, expires_on: date
    ) -> "CorrectionBook":
        """Book in which a proposal is approved for a time.

        Raises
        ------
        CorrectionError
            When it is no open proposal, the approver proposed it, the days do not make sense, or
            another correction of the same segment and model is approved for some of them.
        """
        correction = self._open(identifier, "proposed", "approved")
        proposal = correction.proposal
        if by.strip().casefold() == proposal.proposed_by.strip().casefold():
            raise CorrectionError(
                f"{identifier}: proposed by {proposal.proposed_by!r}; somebody else must approve it"
            )
        if not on <= expires_on or not valid_from < expires_on:
            raise CorrectionError(
                f"{identifier}: expires on {expires_on}, which must be later than {valid_from},"
                f" the day it begins, and not before today, {on}"
            )
        for other in self.corrections:
            same = (
                other.proposal.conditions == proposal.conditions
                and other.proposal.evidence.model_version == proposal.evidence.model_version
            )
            if same and _overlaps(other, valid_from, expires_on):
                raise CorrectionError(
                    f"{identifier}: {other.id} corrects {proposal.segment} from"
                    f" {other.valid_from} to {other.expires_on} already; expire it first"
                )
        return self._with(
            Approved,
            id=identifier,
            by=by,
            on=on,
            reason=reason,
            valid_from=valid_from,
            expires_on=expires_on,
        )

    def reject(self, identifier: str, by: str, reason: str, on: date) -> "CorrectionBook":
        """Book in which a proposal is turned down.

        Raises
        ------
        CorrectionError
            When it is no open proposal.
        """
        self._open(identifier, "proposed", "rejected")
        return self._with(Rejected, id=identifier, by=by, on=on, reason=reason)

    def expire(self, identifier: str, by: str, reason: str, on: date) -> "CorrectionBook":
        """Book in which an approval ends before its date.

        Raises
        ------
        CorrectionError
            When it is not approved.
        """
        self._open(identifier, "approved", "ended")
        return self._with(Expired, id=identifier, by=by, on=on, reason=reason)

    def _open(self, identifier: str, wanted: str, what: str) -> Correction:
        correction = self.find(identifier)
        if correction.decision != wanted:
            raise CorrectionError(
                f"{identifier} is {correction.decision} and cannot be {what};"
                f" only what is {wanted} can"
            )
        return correction

    def _with(self, kind: type[_Event], **fields: object) -> "CorrectionBook":
        try:
            event = _EVENT.validate_python(kind.model_validate(fields))
        except ValidationError as error:
            named = ", ".join(str(e["loc"][0]) for e in error.errors())
            raise CorrectionError(f"{fields['id']}: {named} must be given in words") from error
        return CorrectionBook((*self.events, event))


def _overlaps(other: Correction, valid_from: date, expires_on: date) -> bool:
    if other.decision != "approved" or other.valid_from is None or other.expires_on is None:
        return False
    return other.valid_from < expires_on and valid_from < other.expires_on


def read_book(path: Path) -> CorrectionBook:
    """Read a book and check every event against those before it.

    Raises
    ------
    CorrectionError
        When there is no file, a line cannot be read, or an event does not follow.
    """
    if not path.is_file():
        raise CorrectionError(f"{path}: no book there; 'npl corrections propose' begins one")
    book = CorrectionBook()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            event = _EVENT.validate_json(line)
            book = _replayed(book, event)
        except (ValidationError, CorrectionError) as error:
            first = str(error).splitlines()[0]
            raise CorrectionError(
                f"{path}, line {number}: not a readable event ({first}); restore the file"
            ) from error
    return book


def _replayed(
    book: CorrectionBook, event: Proposed | Approved | Rejected | Expired
) -> CorrectionBook:
    if isinstance(event, Proposed):
        if event.id != event.proposal.id:
            raise CorrectionError(f"{event.id}: altered since it was proposed")
        return book.propose([event.proposal])
    if isinstance(event, Approved):
        return book.approve(
            event.id, event.by, event.reason, event.on, event.valid_from, event.expires_on
        )
    decide = book.reject if isinstance(event, Rejected) else book.expire
    return decide(event.id, event.by, event.reason, event.on)


def write_book(path: Path, book: CorrectionBook) -> None:
    """Write a book whole or not at all; what stands in the file is only added to.

    Raises
    ------
    CorrectionError
        When the file holds events that `book` does not begin with: somebody wrote meanwhile.
    """
    text = book.text()
    if path.exists() and not text.startswith(path.read_text(encoding="utf-8")):
        raise CorrectionError(f"{path}: changed meanwhile; run the command again")
    with replacing_file(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
