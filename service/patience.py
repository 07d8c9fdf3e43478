"""Headers that arrive too slowly are answered, and their connection closed."""

import asyncio
import uuid
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import PROBLEM, SlowError, encoded, problem

HEADER_SECONDS: Final = 20.0


class PunctualProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with a time within which the headers of a request must be there.

    uvicorn itself waits for ever: some hundred connections that never say what they want would be
    all that the service holds.
    """

    header_seconds = HEADER_SECONDS
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait: a connection is made to ask something."""
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._expect_nothing()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the headers of the next request on a connection."""
        super().on_message_begin()
        # While an answer is under way, a refusal would stand in its midst.
        if self._late is None and getattr(self.cycle, "response_complete", True):
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """Wait no longer."""
        self._expect_nothing()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._late = self.loop.call_later(self.header_seconds, self._refuse)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        self._late = None
        told = f"the headers did not arrive within {self.header_seconds:g} seconds"
        body = encoded(problem(SlowError.status, SlowError.title, told, uuid.uuid4().hex))
        head = (
            f"HTTP/1.1 {SlowError.status} {SlowError.title}",
            f"content-type: {PROBLEM}",
            f"content-length: {len(body)}",
            "connection: close\r\n\r\n",
        )
        self.transport.write("\r\n".join(head).encode() + body)
        self.transport.close()
