"""A portfolio store: deliveries one after the other, none of them ever altered.

A store is a folder. Each delivery that told anything new is a folder under `commits/`, numbered
from 0, which appears by one rename and is never written to again: `commit.json` beside parquet
files by month. What was known on a night is what the commits up to it hold, so that any past night
can be read again.

`commits/000007/commit.json`
    When it became known, the portfolio's description from then on, and the hash of every file and
    of the commit before: a chain.
`commits/000007/tape/2024-03.parquet`
    Loans by month of their cut-off: new ones, and new versions of known ones.
`commits/000007/ledger/2024-05.parquet`
    Postings by month of the cash (`undated` where it has none): new ones alone.
`commits/000007/superseded.parquet`, `incomplete.parquet`, `completed.parquet`
    Versions of loans that this commit replaced; loans of which a cash row was refused; and loans of
    which all cash is known again.
`commits/000007/set_aside/`
    The rows that could not be taken, and why (`features.checked`).
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from features.durable import file_digest
from features.errors import PortfolioStoreError
from features.ledger import Ledger
from features.portfolio import Portfolio, PortfolioMeta
from features.tape import tape_dtypes

COMMITS: Final = "commits"
COMMIT_FILE: Final = "commit.json"
# Number of the commit that a version of a loan came with, beside the fields of the tape.
COMMIT: Final = "__commit"
UNDATED: Final = "undated"

Table = Literal["tape", "ledger", "superseded", "incomplete", "completed"]


class StoredFile(BaseModel):
    """One parquet file of a commit.

    Attributes
    ----------
    table : {"tape", "ledger", "superseded", "incomplete", "completed"}
        Which table its rows belong to.
    path : str
        Relative to the commit's folder.
    month : str
        `2024-03`, `undated`, or empty where the table has no months.
    rows : int
        Number of rows.
    sha256 : str
        Hash of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: Table
    path: str
    month: str = ""
    rows: int
    sha256: str


class Commit(BaseModel):
    """What one delivery added.

    Attributes
    ----------
    number : int
        Position, from 0.
    known_at : datetime
        When the store learnt of it, never before the commit's predecessor.
    previous : str
        Hash of the predecessor's `commit.json`; empty for the first.
    delivery : str
        SHA-256 that stands for the delivered files, by which they are known again.
    restates : bool
        Whether its cash replaced what earlier deliveries said of the same loan, month and route.
    meta : PortfolioMeta
        Description of the whole portfolio from here on.
    counts : dict of str to int
        Account of the rows; see `features.ingest.Ingested`.
    files : tuple of StoredFile
        All tables.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=0)]
    known_at: AwareDatetime
    previous: str
    delivery: str
    restates: bool
    meta: PortfolioMeta
    counts: dict[str, int]
    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class PortfolioStore:
    """A store as some commits made it.

    Attributes
    ----------
    folder : Path
        The store's folder.
    commits : tuple of Commit
        In order, at least one.
    digest : str
        Hash of the last `commit.json`, which stands for everything before it too.
    """

    folder: Path
    commits: tuple[Commit, ...]
    digest: str

    @property
    def last(self) -> Commit:
        """The newest commit."""
        return self.commits[-1]

    @property
    def meta(self) -> PortfolioMeta:
        """Description of the portfolio."""
        return self.last.meta

    def at(self, number: int) -> Self:
        """Return the store as commit `number` left it.

        Raises
        ------
        PortfolioStoreError
            When there is no such commit.
        """
        if not 0 <= number < len(self.commits):
            raise PortfolioStoreError(
                f"{self.folder}: has commits 0 to {self.last.number}, no {number}"
            )
        after = self.commits[number + 1 :]
        digest = after[0].previous if after else self.digest
        return type(self)(self.folder, self.commits[: number + 1], digest)

    def as_of(self, when: date | datetime) -> Self:
        """Return the store as it was known on a day (to its end) or at a moment, UTC.

        Raises
        ------
        PortfolioStoreError
            When nothing was known then.
        """
        moment = when if isinstance(when, datetime) else datetime.combine(when, time.max)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC)
        known = sum(commit.known_at <= moment for commit in self.commits)
        if not known:
            first = self.commits[0].known_at.isoformat()
            raise PortfolioStoreError(
                f"{self.folder}: nothing was known at {when}; it begins at {first}"
            )
        return self.at(known - 1)

    def files(self, table: Table, month: str | None = None) -> list[Path]:
        """Files of a table, of one month or of all, oldest commit first."""
        return [
            self.folder / COMMITS / f"{commit.number:06d}" / file.path
            for commit in self.commits
            for file in commit.files
            if file.table == table and month in (None, file.month)
        ]

    def loan_versions(self, month: str | None = None) -> pl.LazyFrame:
        """Newest version of each loan, with `COMMIT`; every field of schema and description."""
        dtypes = tape_dtypes() | {extra.name: extra.dtype for extra in self.meta.extra_fields}
        versions = _scan(self.files("tape", month), dtypes | {COMMIT: pl.Int32()})
        replaced = _scan(self.files("superseded"), {"loan_id": pl.String(), COMMIT: pl.Int32()})
        return versions.join(replaced, on=["loan_id", COMMIT], how="anti", maintain_order="left")

    def postings(self, month: str | None = None) -> pl.LazyFrame:
        """Cash of a month, or of all."""
        dtypes = {name: column.dtype for name, column in Ledger.columns().items()}
        return _scan(self.files("ledger", month), dtypes)

    def incomplete_loans(self) -> pl.DataFrame:
        """`loan_id` of loans that lost cash to a bad row: fit to be scored, not to be learnt from.

        A loan stays incomplete until a restating delivery tells its cash without a fault.
        """
        incomplete: set[str] = set()
        for commit in self.commits:
            only = PortfolioStore(self.folder, (commit,), "")
            incomplete -= set(_ids(only.files("completed")))
            incomplete |= set(_ids(only.files("incomplete")))
        return pl.DataFrame({"loan_id": sorted(incomplete)}, schema={"loan_id": pl.String()})

    def portfolio(self, *, learnable: bool = False) -> Portfolio:
        """Everything known, as a checked portfolio.

        Parameters
        ----------
        learnable : bool
            Leave out the `incomplete_loans`.
        """
        tape = self.loan_versions().drop(COMMIT)
        if learnable:
            tape = tape.join(
                self.incomplete_loans().lazy(), on="loan_id", how="anti", maintain_order="left"
            )
        return Portfolio(self.meta, tape, self.postings(), digest=self.digest)

    def verify(self) -> None:
        """Compare every file with its hash.

        Raises
        ------
        PortfolioStoreError
            Naming all files that are missing or not as they were written.
        """
        bad = []
        for commit in self.commits:
            folder = self.folder / COMMITS / f"{commit.number:06d}"
            for file in commit.files:
                path = folder / file.path
                if not path.is_file():
                    bad.append(f"{path}: missing")
                elif file_digest(path) != file.sha256:
                    bad.append(f"{path}: altered since it was written")
        if bad:
            raise PortfolioStoreError(
                "\n  ".join([f"{self.folder}: restore from a copy, or ingest anew:", *bad])
            )


def open_store(folder: Path) -> PortfolioStore:
    """Read the chain of commits.

    Raises
    ------
    PortfolioStoreError
        When the folder is no store, or its chain is broken.
    """
    commits, digest = read_commits(folder)
    if not commits:
        raise PortfolioStoreError(
            f"{folder}: no portfolio store; make one with 'npl ingest PORTFOLIO --into {folder}'"
        )
    return PortfolioStore(folder, commits, digest)


def read_store(folder: Path, as_of: date | datetime | None = None) -> Portfolio:
    """Portfolio as the store knew it, from files that are as they were written.

    Parameters
    ----------
    folder : Path
        The store.
    as_of : date or datetime, optional
        Day (to its end) or moment, UTC, whose knowledge is wanted; by default all of it.

    Raises
    ------
    PortfolioStoreError
        When the folder is no store, its files were altered, or nothing was known then.
    """
    store = open_store(folder)
    if as_of is not None:
        store = store.as_of(as_of)
    store.verify()
    return store.portfolio()


def read_commits(folder: Path) -> tuple[tuple[Commit, ...], str]:
    """Read all commits of a store and the hash of the last; none where the folder has none.

    Raises
    ------
    PortfolioStoreError
        When one cannot be read, or they do not follow one on the other.
    """
    commits: list[Commit] = []
    previous = ""
    for place, path in enumerate(sorted((folder / COMMITS).glob("[0-9]*"))):
        file = path / COMMIT_FILE
        try:
            text = file.read_bytes()
            commit = Commit.model_validate_json(text)
        except (OSError, ValidationError) as error:
            raise PortfolioStoreError(
                f"{file}: not a readable commit ({str(error).splitlines()[0]});"
                " restore the store from a copy"
            ) from error
        if (commit.number, path.name, commit.previous) != (place, f"{place:06d}", previous):
            raise PortfolioStoreError(
                f"{file}: does not follow the commit before it; one was altered or removed:"
                " restore the store from a copy"
            )
        commits.append(commit)
        previous = hashlib.sha256(text).hexdigest()
    return tuple(commits), previous


def _scan(files: list[Path], dtypes: dict[str, pl.DataType]) -> pl.LazyFrame:
    if not files:
        return pl.LazyFrame(schema=dtypes)
    # A field that came into the portfolio later is missing in older files.
    return pl.scan_parquet(
        files, glob=False, hive_partitioning=False, schema=dtypes, missing_columns="insert"
    )


def _ids(files: list[Path]) -> list[str]:
    return _scan(files, {"loan_id": pl.String()}).collect()["loan_id"].to_list()
