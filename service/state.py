"""What the requests of one process share."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from service.audit import Recorder
from service.corrections import CorrectionsInService
from service.first_scores import FirstScores
from service.identifiers import KeyedHash
from service.incoming import Incoming
from service.known_cash import KnownCashes
from service.security import Gatekeeper
from service.served import ModelInService
from service.settings import Settings
from service.shadow import Shadow

# Scoring is work for the processor: more threads than cores only wait for one another.
_SCORERS: Final = 2
_ENDING_SECONDS: Final = 20.0


@dataclass
class Service:
    """The parts of a running service.

    Attributes
    ----------
    settings : Settings
        What the operator set.
    engine : sqlalchemy.Engine
        The database.
    model : ModelInService
        The model.
    corrections : CorrectionsInService
        Approved corrections of it.
    gatekeeper : Gatekeeper
        Keys and limits.
    recorder : Recorder
        The record.
    hashes : KeyedHash
        Identifiers as they are kept.
    cashes : KnownCashes
        Later cash of valued loans.
    incoming : Incoming
        Uploads on their way in.
    scorers : ThreadPoolExecutor
        Threads that score.
    first_scores : FirstScores, optional
        The watch of new champions; None where the model follows no champion.
    shadow : Shadow, optional
        The challenger; None where none is set.
    stopping : threading.Event
        Set when the service ends.
    threads : list of threading.Thread
        What runs beside the requests.
    """

    settings: Settings
    engine: sa.Engine
    model: ModelInService
    corrections: CorrectionsInService
    gatekeeper: Gatekeeper
    recorder: Recorder
    hashes: KeyedHash
    cashes: KnownCashes
    incoming: Incoming
    first_scores: FirstScores | None = None
    shadow: Shadow | None = None
    scorers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_SCORERS, thread_name_prefix="scorer")
    )
    stopping: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        """End every part, the record last."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(_ENDING_SECONDS)
        self.scorers.shutdown()
        self.cashes.close()
        self.recorder.close()
        self.incoming.close()
        self.engine.dispose()
