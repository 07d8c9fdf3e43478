"""What comes in as JSON, decoded and held to its form in one step."""

from datetime import date
from typing import Annotated, Any, Final

import msgspec

from service.conversion import Value
from service.errors import MalformedError

MAX_LOANS: Final = 10_000
_Loan = Annotated[dict[str, Value], msgspec.Meta(max_length=200)]


class RecoveriesRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Loans to be scored at once.

    Attributes
    ----------
    loans : list of dict
        Fields of the tape by name, as `npl schema` prints them.
    defaults : dict
        Fields of loans that do not give them.
    ledger : list of dict
        Cash known by the cut-off: the fields of the ledger.
    cut_off_date : date, optional
        Value at this later day; default: the tape's own.
    reasons : bool
        Say why.
    """

    loans: Annotated[list[_Loan], msgspec.Meta(min_length=1, max_length=MAX_LOANS)]
    defaults: _Loan = {}
    ledger: Annotated[list[_Loan], msgspec.Meta(max_length=1_000_000)] = []
    cut_off_date: date | None = None
    reasons: bool = False

    def parameters(self) -> dict[str, Any]:
        """What the answer depends on beside the loans."""
        return {
            "cut_off_date": None if self.cut_off_date is None else self.cut_off_date.isoformat(),
            "reasons": self.reasons,
        }


_DECODER: Final = msgspec.json.Decoder(RecoveriesRequest)


def decoded(body: bytes) -> RecoveriesRequest:
    """Request of a JSON body.

    Raises
    ------
    MalformedError
        Saying where it is not JSON, or not of the form.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"the body is no request for recoveries: {error}") from error
