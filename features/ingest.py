"""Taking a delivery into a portfolio store: what is new is added, what contradicts is refused."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from features.check import check_portfolio
from features.checked import CheckedPortfolio
from features.contradictions import Contradictions
from features.delivery import delivery_digest, merged_meta
from features.durable import ASIDE, file_digest, publish, sweep
from features.errors import PortfolioStoreError
from features.ingest_ledger import stage_ledger
from features.ingest_tape import stage_tape
from features.locking import exclusive
from features.portfolio import Portfolio
from features.store import (
    COMMIT_FILE,
    COMMITS,
    Commit,
    PortfolioStore,
    StoredFile,
    Table,
    read_commits,
)

LOCK_FILE: Final = "writer.lock"
_TABLES: Final[tuple[Table, ...]] = ("tape", "ledger", "superseded", "incomplete", "completed")


@dataclass(frozen=True)
class Ingested:
    """What became of a delivery.

    Attributes
    ----------
    commit : Commit, optional
        What it added; None where everything was known already.
    counts : dict of str to int
        `new_loans`, `restated_loans`, `known_loans`; `new_postings`, `corrected_postings` (booked
        as differences), `late_postings` (of the new ones: recorded before the store was last
        observed, told only now), `known_postings`; `tape_rows_set_aside`,
        `ledger_rows_set_aside`, `incomplete_loans`.
    checked : CheckedPortfolio, optional
        Account of the bad rows; None where the very files were known already.
    """

    commit: Commit | None
    counts: dict[str, int]
    checked: CheckedPortfolio | None


def ingest(
    delivery: Portfolio,
    folder: Path,
    *,
    restates: bool = False,
    known_at: datetime | None = None,
) -> Ingested:
    """Add what a delivery tells to a store, whole or not at all.

    A delivery tells everything that became known of the whole portfolio up to its
    `observed_until_date`: loans that it does not name brought nothing new. Rows known already are
    passed over. A loan told otherwise is a new version from now on, but for the facts that make it
    that loan. Postings are never altered: a correction is booked as the difference, when it was
    recorded.

    Parameters
    ----------
    delivery : Portfolio
        Unchecked rows, as `features.portfolio.read_portfolio` opens them.
    folder : Path
        The store; made by the first delivery.
    restates : bool
        What the delivery says of a loan, month and route is all of its cash, and replaces what was
        said before if it was recorded later. Otherwise its postings come beside those known.
    known_at : datetime, optional
        When it became known, with its time zone, for loading an archive; by default now.

    Raises
    ------
    PortfolioStoreError
        When the delivery contradicts what is known (all contradictions are counted, the first are
        told), has no usable loan, or the store cannot be read or written.
    PortfolioError
        When a delivered table cannot be read to its end.
    LockedError
        When another process writes to the store.
    """
    _refuse_other_folder(folder)
    with exclusive(folder / LOCK_FILE, "npl ingest"):
        commits_folder = folder / COMMITS
        commits_folder.mkdir(exist_ok=True)
        sweep(commits_folder)
        commits, digest = read_commits(folder)
        store = PortfolioStore(folder, commits, digest) if commits else None
        moment = _moment(known_at, store)
        identity = delivery_digest(delivery)
        if any((c.delivery, c.restates) == (identity, restates) for c in commits):
            return Ingested(None, {}, None)
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=commits_folder))
        try:
            return _commit(delivery, store, aside, restates, moment, identity)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise PortfolioStoreError(
                f"{folder}: the delivery cannot be taken in ({str(error).splitlines()[0]});"
                " the store is as it was"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _commit(
    delivery: Portfolio,
    store: PortfolioStore | None,
    aside: Path,
    restates: bool,
    moment: datetime,
    identity: str,
) -> Ingested:
    meta = merged_meta(None if store is None else store.meta, delivery.meta)
    known = None if store is None else store.loan_versions()
    checked = check_portfolio(delivery, known_loans=known)
    contradictions = Contradictions()
    counts = stage_tape(checked.portfolio, store, meta, aside, contradictions)
    counts |= stage_ledger(checked.portfolio, store, aside, restates, contradictions)
    contradictions.refuse(str(delivery.path or delivery.meta.name))
    counts |= _stage_incomplete(checked, store, aside, restates)
    if store is None and not counts["new_loans"]:
        raise PortfolioStoreError(
            f"{delivery.path or delivery.meta.name}: no usable loan to begin a store with;"
            " see 'npl check'"
        )
    if store is not None and meta == store.meta and not any(_staged(aside)):
        return Ingested(None, counts, checked)
    checked.write_set_aside(aside / "set_aside")
    commit = Commit(
        number=len(store.commits) if store else 0,
        known_at=moment,
        previous=store.digest if store else "",
        delivery=identity,
        restates=restates,
        meta=meta,
        counts=counts,
        files=tuple(_sealed(aside, path) for path in _staged(aside)),
    )
    (aside / COMMIT_FILE).write_text(commit.model_dump_json(indent=1) + "\n", encoding="utf-8")
    publish(aside, aside.parent / f"{commit.number:06d}")
    return Ingested(commit, counts, checked)


def _stage_incomplete(
    checked: CheckedPortfolio, store: PortfolioStore | None, aside: Path, restates: bool
) -> dict[str, int]:
    incomplete = checked.incomplete_loans
    known = store.incomplete_loans() if store else incomplete.clear()
    added = incomplete.join(known, on="loan_id", how="anti").sort("loan_id")
    if added.height:
        added.write_parquet(aside / "incomplete.parquet")
    if restates and known.height:
        told = checked.portfolio.ledger.select("loan_id").unique().collect(engine="streaming")
        whole = known.join(told, on="loan_id", how="semi")
        whole = whole.join(incomplete, on="loan_id", how="anti").sort("loan_id")
        if whole.height:
            whole.write_parquet(aside / "completed.parquet")
    return {
        "tape_rows_set_aside": checked.tape_set_aside.height,
        "ledger_rows_set_aside": checked.ledger_set_aside.height,
        "incomplete_loans": added.height,
    }


def _staged(aside: Path) -> list[Path]:
    return [
        path
        for table in _TABLES
        for path in sorted([*aside.glob(f"{table}/*.parquet"), *aside.glob(f"{table}.parquet")])
    ]


def _sealed(aside: Path, path: Path) -> StoredFile:
    place = path.relative_to(aside)
    table = next(name for name in _TABLES if name == (place.parts[0].removesuffix(".parquet")))
    return StoredFile(
        table=table,
        path=place.as_posix(),
        month=path.stem if len(place.parts) > 1 else "",
        rows=int(pl.scan_parquet(path).select(pl.len()).collect().item()),
        sha256=file_digest(path),
    )


def _moment(known_at: datetime | None, store: PortfolioStore | None) -> datetime:
    now = datetime.now(UTC)
    moment = known_at or now
    if moment.tzinfo is None:
        raise PortfolioStoreError(f"known_at: {moment} has no time zone; give one, such as +00:00")
    if moment > now:
        raise PortfolioStoreError(f"known_at: {moment.isoformat()} is still to come")
    if store is not None and moment < store.last.known_at:
        raise PortfolioStoreError(
            f"known_at: {moment.isoformat()} is before the last commit"
            f" ({store.last.known_at.isoformat()}); deliveries are taken in as they became known"
        )
    return moment


def _refuse_other_folder(folder: Path) -> None:
    if folder.is_file() or (
        folder.is_dir()
        and any(folder.iterdir())
        and not (folder / COMMITS).is_dir()
        and not (folder / LOCK_FILE).is_file()
    ):
        raise PortfolioStoreError(
            f"{folder}: exists and is no portfolio store; choose another --into"
        )
