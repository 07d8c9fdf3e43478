"""Progress of a package as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from service import queue
from service.state import Service

_LOOK_SECONDS: Final = 0.5
_SILENCE_SECONDS: Final = 15.0


async def events_of(
    service: Service, package_id: str, told: Callable[[sa.Row[Any]], dict[str, Any]]
) -> AsyncIterator[bytes]:
    """Events of a package, one at every change, the last when it has ended."""
    last, silent = b"", 0.0
    while not service.stopping.is_set():
        row = await asyncio.to_thread(queue.find, service.engine, package_id)
        if row is None:
            return
        document = msgspec.json.encode(told(row))
        if document != last:
            yield b"event: progress\ndata: " + document + b"\n\n"
            last, silent = document, 0.0
        if row.state in queue.ENDED:
            return
        await asyncio.sleep(_LOOK_SECONDS)
        silent += _LOOK_SECONDS
        if silent >= _SILENCE_SECONDS:
            # A proxy closes what says nothing.
            yield b": waiting\n\n"
            silent = 0.0
