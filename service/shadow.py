"""A challenger in the shadow: it scores what the champion has answered, and is only compared.

Nothing waits for it. A request is offered once its answer is given; what the shadow has no room or
no model for is let go and counted.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from features.tape import ASSET_CLASSES
from models.errors import ModelsError
from service.clock import now
from service.identifiers import KeyedHash
from service.middleware import SHADOW
from service.recovery import answer_request
from service.schemas import RecoveriesRequest, decoded
from service.served import ModelInService, Served

# Requests and their answers that wait to be compared; beyond this they are let go.
MOST_WAITING_BYTES: Final = 32 << 20
# A rate that moves by more than this is one a valuer would ask about.
BEYOND_RATE: Final = 0.05
_IDLE_SECONDS: Final = 0.2
_UNKNOWN: Final = "unknown"
_log = structlog.get_logger("service.shadow")


@dataclass
class Difference:
    """Running sums of two models' forecasts of the same loans.

    Attributes
    ----------
    loans : int
        Loans that both gave a rate.
    rate_difference : float
        Sum of challenger less champion.
    beyond : int
        Loans whose rates differ by more than `BEYOND_RATE`.
    champion_amount, challenger_amount : float
        Expected cash, currency.
    """

    loans: int = 0
    rate_difference: float = 0.0
    beyond: int = 0
    champion_amount: float = 0.0
    challenger_amount: float = 0.0

    def add(self, champion_rate: float, challenger_rate: float, ead_amount: float) -> None:
        """Add a loan."""
        moved = challenger_rate - champion_rate
        self.loans += 1
        self.rate_difference += moved
        self.beyond += abs(moved) > BEYOND_RATE
        self.champion_amount += ead_amount * champion_rate
        self.challenger_amount += ead_amount * challenger_rate

    def as_document(self) -> dict[str, Any]:
        """Means and sums as plain values."""
        return {
            "loans": self.loans,
            "mean_rate_difference": self.rate_difference / self.loans if self.loans else None,
            "share_beyond": self.beyond / self.loans if self.loans else None,
            "champion_amount": self.champion_amount,
            "challenger_amount": self.challenger_amount,
            "difference_amount": self.challenger_amount - self.champion_amount,
        }


@dataclass
class Comparison:
    """One challenger beside one champion, from the first loan both have scored.

    Attributes
    ----------
    champion, challenger : str
        Versions of the bundles.
    since : str
        Time, UTC.
    unlike : int
        Loans that only one of the two gave a rate.
    by_class : dict of str to Difference
        By asset class.
    """

    champion: str
    challenger: str
    since: str = field(default_factory=now)
    unlike: int = 0
    by_class: dict[str, Difference] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """The comparison as plain values, by class and for all."""
        whole = Difference()
        for own in self.by_class.values():
            for name, value in vars(own).items():
                setattr(whole, name, getattr(whole, name) + value)
        return {
            "champion": self.champion,
            "challenger": self.challenger,
            "since": self.since,
            "loans_only_one_scored": self.unlike,
            "all": whole.as_document(),
            "by_asset_class": {
                name: self.by_class[name].as_document() for name in sorted(self.by_class)
            },
        }


class Shadow:
    """Scores answered requests with a challenger, one after another.

    Parameters
    ----------
    name : str
        The challenger; see `models.reference.named_model`. It need not be there yet.
    archive : Path
        As for `service.served.ModelInService`.
    seconds : float
        How often the name is looked up.
    stopping : threading.Event
        Set when the service ends.
    """

    def __init__(self, name: str, archive: Path, seconds: float, stopping: threading.Event) -> None:
        self._name, self._archive, self._seconds = name, archive, seconds
        self._stopping = stopping
        self._model: ModelInService | None = None
        self._resting: str | None = "not looked for yet"
        self._comparison: Comparison | None = None
        self._waiting: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        self._bytes = 0
        self._lock = threading.Lock()
        self._counts = {"compared": 0, "dropped": 0, "failed": 0, "skipped": 0}
        # Nothing of what the shadow makes is kept: any key will do.
        self._hashes = KeyedHash(b"shadow")

    def offer(self, request: bytes, answer: bytes) -> None:
        """Take note of an answered request, or let it go; never waits and never fails."""
        size = len(request) + len(answer)
        with self._lock:
            room = self._bytes + size <= MOST_WAITING_BYTES
            self._bytes += size if room else 0
        if room:
            self._waiting.put((request, answer))
        else:
            self._count("dropped")

    def run(self) -> None:
        """Compare until told to stop."""
        looked = float("-inf")
        while not self._stopping.is_set():
            if time.monotonic() - looked > self._seconds:
                self._look()
                looked = time.monotonic()
            try:
                request, answer = self._waiting.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                continue
            with self._lock:
                self._bytes -= len(request) + len(answer)
            # Whatever a challenger fails with, nobody but the one who judges it shall notice.
            try:
                self._count("compared" if self._compare(request, answer) else "skipped")
            except Exception as error:
                self._count("failed")
                _log.error("challenger failed", error=f"{type(error).__name__}: {error}")

    def as_document(self) -> dict[str, Any]:
        """What was found so far, as plain values."""
        with self._lock:
            found = self._comparison
            return {
                "name": self._name,
                "resting": self._resting,
                "requests": dict(self._counts),
                "beyond_rate": BEYOND_RATE,
                "comparison": None if found is None else found.as_document(),
            }

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts[outcome] += 1
        SHADOW.labels(outcome).inc()

    def _look(self) -> None:
        """Take the challenger that the name means now; without one the shadow rests."""
        resting: str | None = None
        try:
            if self._model is None:
                self._model = ModelInService(self._name, self._archive)
            else:
                self._model.refresh()
            refused = self._model.refused
            # A challenger that became champion is no challenger any more.
            if refused is not None:
                resting = refused.reason
        # The shadow outlives any challenger, however it is broken.
        except Exception as error:
            known = isinstance(error, ModelsError | OSError)
            resting = str(error) if known else f"{type(error).__name__}: {error}"
        if resting is not None and resting != self._resting:
            _log.warning("no challenger in the shadow", name=self._name, reason=resting)
        with self._lock:
            self._resting = resting

    def _compare(self, request: bytes, answer: bytes) -> bool:
        """Score a request with the challenger and add it up; False where there is none."""
        if self._model is None or self._resting is not None:
            return False
        served, given = self._model.served, msgspec.json.decode(answer)
        if served.version == given["model_version"]:
            return False
        asked = msgspec.structs.replace(decoded(request), reasons=False)
        pairs = list(self._pairs(asked, given["loans"], served))
        with self._lock:
            found = self._comparison
            versions = given["model_version"], served.version
            if found is None or (found.champion, found.challenger) != versions:
                found = self._comparison = Comparison(*versions)
            for name, champion, challenger, ead in pairs:
                if champion is None or challenger is None:
                    found.unlike += (champion is None) != (challenger is None)
                else:
                    found.by_class.setdefault(name, Difference()).add(champion, challenger, ead)
        return True

    def _pairs(
        self, asked: RecoveriesRequest, champion: list[dict[str, Any]], served: Served
    ) -> Iterator[tuple[str, float | None, float | None, float]]:
        """Asset class, both rates before correction, and exposure of each loan."""
        answer = answer_request(asked, served.bundle, None, "shadow", self._hashes, "drop")
        challenger = msgspec.json.decode(answer.body)["loans"]
        for loan, one, other in zip(asked.loans, champion, challenger, strict=True):
            told = loan.get("asset_class", asked.defaults.get("asset_class"))
            rate, correction = one["recovery_rate"], one.get("correction")
            if rate is not None and correction is not None:
                rate -= correction["rate_points"]
            name = str(told) if told in ASSET_CLASSES else _UNKNOWN
            yield name, rate, other["recovery_rate"], one["ead_amount"]
