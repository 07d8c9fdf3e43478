"""Bodies that arrive: within their size, within their time, and whole."""

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import MalformedError, SlowError, TooLargeError

_MIB: Final = 1 << 20
# Bytes a second: a client that sends a byte now and then holds a connection and a file for ever.
_LEAST_PACE: Final = 4_096


async def read_body(request: Request, limit_bytes: int, seconds: float) -> bytes:
    """A body held in memory.

    Raises
    ------
    TooLargeError, SlowError, MalformedError
        When it is larger than the limit, takes longer, or breaks off.
    """
    chunks, size = [], 0
    refuse_announced(request, limit_bytes)
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                chunks.append(chunk)
    except TimeoutError as error:
        raise _slow(seconds) from error
    except ClientDisconnect as error:
        raise MalformedError("the body broke off") from error
    return b"".join(chunks)


async def save_body(request: Request, path: Path, limit_bytes: int, seconds: float) -> str:
    """Stream a body to a file.

    Parameters
    ----------
    request : fastapi.Request
        Where it comes from.
    path : Path
        Where it goes.
    limit_bytes : int
        Its largest size.
    seconds : float
        Longest time between two pieces of it; after this time it must also have come at
        `_LEAST_PACE`.

    Returns
    -------
    str
        SHA-256 of the body.

    Raises
    ------
    TooLargeError, SlowError, MalformedError
        As `read_body`; nothing is left behind by the caller's own cleaning.
    """
    refuse_announced(request, limit_bytes)
    digest, size = hashlib.sha256(), 0
    pieces, started = request.stream(), time.monotonic()
    with path.open("wb") as file:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    chunk = await anext(pieces, None)
            except TimeoutError as error:
                raise _slow(seconds) from error
            except ClientDisconnect as error:
                raise MalformedError("the body broke off") from error
            if chunk is None:
                break
            size += len(chunk)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            elapsed = time.monotonic() - started
            if elapsed > seconds and size < elapsed * _LEAST_PACE:
                raise SlowError(
                    f"the body arrives at {size / elapsed:,.0f} bytes a second, at least"
                    f" {_LEAST_PACE:,} are waited for"
                )
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    if not size:
        raise MalformedError("the body is empty: send the file as it is, as the raw body")
    return digest.hexdigest()


def refuse_announced(request: Request, limit_bytes: int) -> None:
    """Refuse a body that says itself that it is too large, before it arrives."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)


def _too_large(limit_bytes: int) -> TooLargeError:
    size = f"{limit_bytes / _MIB:,.0f} MiB" if limit_bytes >= _MIB else f"{limit_bytes:,} bytes"
    return TooLargeError(f"the body is larger than {size}; send it in parts, or as a Parquet file")


def _slow(seconds: float) -> SlowError:
    return SlowError(f"the body did not arrive within {seconds:g} seconds")
