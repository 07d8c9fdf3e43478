"""What the portfolio store knew on a day, and how requests meet it without waiting on each other.

A store is read once for each of its states, which takes seconds to a minute, in threads of its own:
a request never holds a thread that others need, and is told to come again where it would wait long.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl
import structlog

from features.errors import PortfolioError, PortfolioStoreError
from features.portfolio import Portfolio
from features.store import PortfolioStore, open_store
from models.monitoring import lumpiness
from service.errors import ConflictError, UnavailableError
from service.identifiers import KeyedHash

T = TypeVar("T")
_log = structlog.get_logger("service.known_cash")
# One may read a store, the other follows packages in what is known.
_THREADS: Final = 2
_WAIT_SECONDS: Final = 20.0
_DOCUMENTS: Final = 64


@contextmanager
def reading(store: PortfolioStore) -> Iterator[None]:
    """Tell of a store's files that cannot be read.

    Raises
    ------
    features.errors.PortfolioStoreError
        When they cannot.
    """
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PortfolioStoreError(
            f"{store.folder}: cannot be read ({str(error).splitlines()[0]}); restore the store"
            " from a copy"
        ) from error


@dataclass(frozen=True)
class KnownCash:
    """What a portfolio store knew, its loans found by their keyed hashes.

    Attributes
    ----------
    store : PortfolioStore
        The store as it was.
    portfolio : Portfolio
        Its loans but those whose cash is not all known.
    loans : polars.DataFrame
        `loan_id` and `hash` of every loan, `incomplete` where its cash is not all known.
    lumps : polars.DataFrame
        From `models.monitoring.lumpiness`.
    """

    store: PortfolioStore
    portfolio: Portfolio
    loans: pl.DataFrame
    lumps: pl.DataFrame

    @classmethod
    def of(cls, store: PortfolioStore, hashes: KeyedHash) -> "KnownCash":
        """What a store knows.

        Raises
        ------
        features.errors.PortfolioStoreError
            When its files cannot be read.
        features.errors.PortfolioError
            When its cash is not dated, or there is none.
        """
        with reading(store):
            ids = store.loan_versions().select(pl.col("loan_id").unique().sort()).collect()
            incomplete = store.incomplete_loans()["loan_id"]
            portfolio = store.portfolio(learnable=True)
            lumps = lumpiness(portfolio)
        if lumps.is_empty():
            raise PortfolioError(
                f"{store.folder}: no past loan has paid, so nothing tells how lumpy cash is"
            )
        loans = ids.with_columns(
            hash=hashes.hashed(ids)["loan_id"],
            incomplete=pl.col("loan_id").is_in(incomplete.implode()),
        )
        return cls(store, portfolio, loans, lumps)

    def document(self) -> dict[str, Any]:
        """What was known, and when."""
        last = self.store.last
        return {
            "store_commit": last.number,
            "known_at": last.known_at.isoformat(),
            "known_until_date": last.meta.observed_until_date.isoformat(),
            "reporting_lag_months": last.meta.reporting_lag_months,
        }


class KnownCashes:
    """Follows packages in a store that is read once for as long as it stays as it is.

    Parameters
    ----------
    folder : Path, optional
        The store; None where none is set.
    hashes : KeyedHash
        Of the service.
    """

    def __init__(self, folder: Path | None, hashes: KeyedHash) -> None:
        self._folder = folder
        self._hashes = hashes
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="monitoring")
        self._read: dict[str, KnownCash] = {}
        # The state that is being read; one at a time, for it takes memory.
        self._reading: tuple[str, asyncio.Future[KnownCash]] | None = None
        self._documents: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    async def followed(
        self, valuation_id: str, as_of: date | None, follow: Callable[[KnownCash], dict[str, Any]]
    ) -> dict[str, Any]:
        """What became of a valuation by what the store knew at the end of a day, by default now.

        Parameters
        ----------
        valuation_id : str
            The valuation.
        as_of : date, optional
            The day.
        follow : callable
            Makes the document of what was known. It is called in a thread, and not again while its
            document is among the latest.

        Raises
        ------
        ConflictError
            When no store is set, nothing was known then, or its cash tells nothing.
        UnavailableError
            When it cannot be read, or not within 20 seconds: what was begun goes on.
        """
        ends = asyncio.get_running_loop().time() + _WAIT_SECONDS
        store = await self._run(ends, partial(self._opened, as_of))
        key = (valuation_id, store.digest)
        document = self._documents.get(key)
        if document is None:
            known = await self._known(store, ends)
            document = await self._run(ends, partial(self._told, key, follow, known))
        return document

    def close(self) -> None:
        """Begin nothing more; what runs changes nothing and is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, ends: float, work: Callable[[], T]) -> T:
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        if not await _done(running, ends):
            # Where it waits for a thread yet, it is not begun.
            running.cancel()
            raise UnavailableError("many packages are being followed; ask again later")
        return running.result()

    async def _known(self, store: PortfolioStore, ends: float) -> KnownCash:
        """What a store knows: at once where it was read, else when that is done."""
        while (known := self._read.get(store.digest)) is None:
            if self._reading is None or self._reading[1].done():
                loop = asyncio.get_running_loop()
                begun = loop.run_in_executor(self._threads, self._read_anew, store)
                self._reading = (store.digest, begun)
            digest, under_way = self._reading
            if not await _done(under_way, ends):
                raise UnavailableError("the portfolio store is being read; ask again later")
            if digest == store.digest:
                return under_way.result()
        return known

    def _opened(self, as_of: date | None) -> PortfolioStore:
        if self._folder is None:
            raise ConflictError(
                "no portfolio store is set, so later cash is not known here: set NPL_STORE to the"
                " store of 'npl ingest'"
            )
        with _told_as_problems():
            store = open_store(self._folder)
            if as_of is None:
                return store
            if store.commits[0].known_at.date() > as_of:
                raise ConflictError(f"nothing was known on {as_of}")
            return store.as_of(as_of)

    def _read_anew(self, store: PortfolioStore) -> KnownCash:
        with _told_as_problems():
            known = KnownCash.of(store, self._hashes)
        # The newest knowledge and one of the past.
        self._read = dict([*list(self._read.items())[-1:], (store.digest, known)])
        return known

    def _told(
        self,
        key: tuple[str, str],
        follow: Callable[[KnownCash], dict[str, Any]],
        known: KnownCash,
    ) -> dict[str, Any]:
        # Another request may have made it while this one waited.
        document = self._documents.get(key)
        if document is None:
            with _told_as_problems():
                document = follow(known)
        with self._lock:
            others = [(one, told) for one, told in self._documents.items() if one != key]
            self._documents = dict([*others[1 - _DOCUMENTS :], (key, document)])
        return document


async def _done(running: asyncio.Future[Any], ends: float) -> bool:
    """Wait for what runs, which others may wait for too, until a moment of the loop."""
    left = ends - asyncio.get_running_loop().time()
    await asyncio.wait([running], timeout=max(left, 0.0))
    return running.done()


@contextmanager
def _told_as_problems() -> Iterator[None]:
    try:
        yield
    except PortfolioStoreError as error:
        _log.error("portfolio store", error=str(error))
        told = "the portfolio store cannot be read; tell the operator"
        raise UnavailableError(told) from error
    except PortfolioError as error:
        raise ConflictError("the cash of the portfolio store is not dated or none") from error
