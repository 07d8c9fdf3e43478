"""The model in service: loaded, tried on an example, then swapped in one step."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import structlog

from features.sources.result import no_ledger
from models.backtest_files import file_of_folder
from models.bundle import CARD, Bundle, read_bundle, write_bundle
from models.errors import BundleError, ModelsError, RegistryError, StoreError
from models.example_scores import examples_of
from models.reference import CHAMPION, ModelReference, named_model
from models.request import CheckedInput, check_bare_tape, check_tape_and_ledger
from models.scoring import score_loans
from service.clock import now
from service.conversion import ledger_of, tape_of
from service.settings import Settings

_log = structlog.get_logger("service.served")


@dataclass(frozen=True)
class Served:
    """A model that requests are answered with; a request keeps the one it began with.

    Attributes
    ----------
    bundle : Bundle
        The model and its provenance.
    version : str
        The bundle's.
    source : str
        Folder or registered version it was read from.
    loaded_at : str
        Time, UTC.
    """

    bundle: Bundle
    version: str
    source: str
    loaded_at: str


@dataclass(frozen=True)
class Refusal:
    """Why what the name means now is not in service; what was there before still answers.

    Attributes
    ----------
    source : str
        Folder or registered version that was to be taken, or the name where it means nothing now.
    kind : {"model", "registry"}
        Whether the model was refused, or the registry could not tell it.
    reason : str
        What was found.
    since : str
        Time, UTC, from which it has been so.
    """

    source: str
    kind: Literal["model", "registry"]
    reason: str
    since: str


class ModelInService:
    """Holds the model in service and exchanges it.

    Parameters
    ----------
    name : str
        Bundle folder or registered model; see `models.reference.named_model`.
    archive : Path
        Folder where every bundle that ever served is kept, for replays.
    """

    def __init__(self, name: str, archive: Path) -> None:
        self._name = named_model(name)
        self._archive = archive
        self._exchange = threading.Lock()
        self._refused: Refusal | None = None
        self._served = self._load(self._newest())

    @property
    def served(self) -> Served:
        """The model now in service."""
        return self._served

    @property
    def follows_champion(self) -> bool:
        """Whether the model is what the registry calls champion, whichever that is."""
        return isinstance(self._name, ModelReference) and self._name.alias == CHAMPION

    @property
    def refused(self) -> Refusal | None:
        """Why the newest model is not in service; None where it is."""
        return self._refused

    def refresh(self) -> bool:
        """Take a new model into service where there is one; a bad one is refused, the old stays.

        Returns
        -------
        bool
            Whether the model was exchanged.
        """
        with self._exchange:
            source = str(self._name)
            try:
                source = self._newest()
                if source == self._served.source:
                    self._refused = None
                    return False
                fresh = self._load(source)
            # A model may be broken in any way: whatever it is, the old one stays and it is told.
            except Exception as error:
                self._refuse(source, error)
                return False
            before, self._served, self._refused = self._served, fresh, None
            _log.info("model exchanged", before=before.version, now=fresh.version, source=source)
            return True

    def _refuse(self, source: str, error: Exception) -> None:
        known = isinstance(error, ModelsError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        kind: Literal["model", "registry"] = (
            "registry" if isinstance(error, StoreError | RegistryError) else "model"
        )
        before = self._refused
        if before is None or (before.source, before.reason) != (source, reason):
            _log.error("model refused", source=source, kind=kind, error=reason)
            self._refused = Refusal(source, kind, reason, now())

    def watch(self, settings: Settings, stopping: threading.Event) -> None:
        """Look for a new model again and again, until told to stop."""
        while not stopping.wait(settings.champion_seconds):
            self.refresh()

    def archived(self, version: str) -> Bundle:
        """A bundle that once served.

        Raises
        ------
        BundleError
            When it is not kept, or was altered.
        """
        if version == self._served.version:
            return self._served.bundle
        return read_bundle(self._archive / version)

    def backtest_file(self, version: str, name: str, folder: Path | None) -> bytes | None:
        """A file of the backtest of a model; None where there is none of that model.

        Parameters
        ----------
        version : str
            Of the bundle.
        name : str
            One of `models.backtest_files`.
        folder : Path, optional
            Where to look where the model is a folder; a registered one's runs tell.

        Raises
        ------
        ModelsError
            When the folder or the registry cannot be read.
        """
        if isinstance(self._name, Path):
            return None if folder is None else file_of_folder(folder, version, name)
        from models.mlflow_store import Store  # noqa: PLC0415
        from models.recorded_backtest import recorded_file  # noqa: PLC0415

        return recorded_file(Store.of_environment(), version, name)

    def _newest(self) -> str:
        """What the name means now: the folder with its content, or a numbered version."""
        if isinstance(self._name, Path):
            return f"{self._name}@{_stamp(self._name)}"
        from models import registry  # noqa: PLC0415
        from models.mlflow_store import Store  # noqa: PLC0415

        return str(registry.show(Store.of_environment(), self._name).of.reference)

    def _load(self, source: str) -> Served:
        bundle = self._read(source)
        try_out(bundle)
        self._keep(bundle)
        return Served(bundle, bundle.version, source, now())

    def _read(self, source: str) -> Bundle:
        if isinstance(self._name, Path):
            return read_bundle(self._name)
        from models import registry  # noqa: PLC0415
        from models.mlflow_store import Store  # noqa: PLC0415

        reference = named_model(source)
        assert isinstance(reference, ModelReference)
        return registry.load(Store.of_environment(), reference)

    def _keep(self, bundle: Bundle) -> None:
        folder = self._archive / bundle.version
        if not (folder / CARD).is_file():
            write_bundle(folder, bundle)


def _stamp(folder: Path) -> str:
    try:
        status = (folder / "manifest.json").stat()
    except OSError as error:
        raise BundleError(f"{folder}: no bundle there; give the folder of 'npl train'") from error
    return f"{status.st_mtime_ns}-{status.st_size}"


def try_out(bundle: Bundle) -> None:
    """Score the model's own examples by the way of a request; the first request then waits less.

    Every figure must be the one the model gave when it was trained, to the last bit: all together,
    cash known, and again for one loan alone on a bare tape.

    Raises
    ------
    BundleError
        As `models.examples.Examples.require_same`.
    """
    examples = examples_of(bundle)
    tape = tape_of(list(examples.loans), {}, bundle)
    cash = ledger_of(list(examples.ledger)) if examples.ledger else no_ledger()
    checked = check_tape_and_ledger(tape, cash, bundle)
    examples.require_same(_explained(checked, bundle), bundle.version)
    paid = [row["loan_id"] for row in examples.ledger]
    alone = [loan for loan in examples.loans if loan["loan_id"] not in paid][:1]
    if alone:
        bare = check_bare_tape(tape_of(alone, {}, bundle), bundle, "example")
        examples.require_same(_explained(bare, bundle), bundle.version)


def _explained(checked: CheckedInput, bundle: Bundle) -> pl.DataFrame:
    loans, cash = checked.tape.collect(), checked.ledger.collect()
    return checked.complete(score_loans(bundle.model, loans, cash, explain=True))
