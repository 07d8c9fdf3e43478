"""The model in service: loaded, tried on an example, then swapped in one step."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import structlog

from models.bundle import CARD, Bundle, read_bundle, write_bundle
from models.errors import BundleError, ModelsError
from models.example_loan import example_loan
from models.reference import CHAMPION, ModelReference, named_model
from models.request import check_bare_tape
from models.scoring import score_loans
from service.clock import now
from service.conversion import tape_of
from service.settings import Settings

_ADDS_UP: Final = 1e-9
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
        self._refused: str | None = None
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
    def refused(self) -> str | None:
        """Why the newest model was not taken into service; None where it was."""
        return self._refused

    def refresh(self) -> bool:
        """Take a new model into service where there is one; a bad one is refused, the old stays.

        Returns
        -------
        bool
            Whether the model was exchanged.
        """
        with self._exchange:
            source = self._served.source
            try:
                source = self._newest()
                if source == self._served.source:
                    self._refused = None
                    return False
                fresh = self._load(source)
            except (ModelsError, OSError) as error:
                if self._refused != str(error):
                    _log.error("model refused", source=source, error=str(error))
                self._refused = str(error)
                return False
            before, self._served, self._refused = self._served, fresh, None
            _log.info("model exchanged", before=before.version, now=fresh.version, source=source)
            return True

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
    """Score the model's own example, and warm what the first request would wait for.

    Raises
    ------
    BundleError
        When a figure is missing, or the reasons do not add up to the rate.
    """
    tape = tape_of([example_loan(bundle)], {}, bundle)
    checked = check_bare_tape(tape, bundle, "example")
    loans, ledger = checked.tape.collect(), checked.ledger.collect()
    row = checked.complete(score_loans(bundle.model, loans, ledger)).row(0, named=True)
    if row["recovery_rate"] is None or not np.isfinite(row["recovery_rate"]):
        raise BundleError(f"model {bundle.version} gives its example no rate: {row['reason']}")
    scores = score_loans(bundle.model, loans, ledger, explain=True)
    row = scores.row(0, named=True)
    points = scores.select(pl.sum_horizontal("^points_.*$")).item()
    if abs(row["base_rate"] + points - row["recovery_rate"]) > _ADDS_UP:
        raise BundleError(f"model {bundle.version}: the reasons of its example do not add up")
