"""A connection to PostgreSQL that gives up on a server that does not answer."""

from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

# The whole of a statement's silence; nothing the service asks takes nearly as long.
ANSWER_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 3
Answer = TypeVar("Answer")


class PunctualConnection(psycopg.Connection[Any]):
    """A connection whose server must answer each request in time.

    The server's own timeouts do not run while it is stopped or out of reach.
    """

    def wait(
        self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None
    ) -> Answer:
        """Wait for an answer.

        Raises
        ------
        psycopg.OperationalError
            When it does not come in time; the connection is closed, its state is unknown.
        """
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except _WaitTimeout as error:
            self.close()
            raise psycopg.OperationalError(
                f"the database did not answer within {ANSWER_SECONDS:g} seconds"
            ) from error
