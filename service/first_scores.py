"""The first scores of a new champion: where they leave their expected range, it is taken back.

What is read is the record, after the answers were given: so the scores of every process and
worker count, and none waits. Before anything is taken back the former champion scores the same
loans: where its rates leave their range too, the loans are unlike those of a promotion, and no
model is at fault.
"""

import json
import threading
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa
import structlog

from models.bundle import Bundle
from models.first_scores import TAG, ExpectedScores, leaves_range
from models.reference import CHAMPION, ModelReference, named_model
from models.registered import Lineage
from models.scoring import score_loans
from service import audit
from service.errors import ConflictError
from service.kept_forecasts import KINDS, PACKAGE, answered_rates, recorded_valuation
from service.package_folder import LEDGER, TAPE, PackageFolder
from service.recovery import replayed
from service.served import ModelInService
from service.storage import CHAIN, VALUATIONS
from service.taking_back import (
    carry_out,
    decide,
    decision_id,
    former_champion,
    registry_in_service,
)

# Tag of a version: the promotion whose first scores were as expected.
SEEN: Final = "first_scores_seen"
# Loans of expected classes below which nothing is said, and at which enough were seen.
_LEAST_LOANS, _ENOUGH_LOANS = 100, 1_000
# A service that starts again reads that far back.
_LOOK_BACK: Final = 1_000
_AT_A_TIME: Final = 50

_log = structlog.get_logger("service.first_scores")


@dataclass
class _Trial:
    """What is known of one promotion of a champion.

    Attributes
    ----------
    source : str
        The version, as `Served.source`.
    reference : ModelReference
        The same.
    lineage : Lineage
        Of the version, with the champions before it.
    expected : ExpectedScores, optional
        Where its scores should lie; None where nobody said.
    over : bool
        Nothing more is looked at.
    decided : bool
        The decision to take it back stands on record.
    rates : dict
        Class and rate of each loan by its hash.
    valuations : list of str
        Where they are on record.
    """

    source: str
    reference: ModelReference
    lineage: Lineage
    expected: ExpectedScores | None
    over: bool
    decided: bool = False
    rates: dict[str, tuple[str, float]] = field(default_factory=dict)
    valuations: list[str] = field(default_factory=list)

    def leaving(self, rates: dict[str, float], expected: ExpectedScores) -> dict[str, str]:
        """Classes whose rates are not what was expected, of the loans seen, and why."""
        found = [(self.rates[loan][0], rate) for loan, rate in rates.items() if loan in self.rates]
        classes = pl.Series([name for name, _ in found], dtype=pl.String)
        values = np.array([rate for _, rate in found], dtype=np.float64)
        told = {
            name: leaves_range(ExpectedScores(by_class={name: of}), values, classes)
            for name, of in expected.by_class.items()
        }
        return {name: why for name, why in told.items() if why is not None}


class FirstScores:
    """Watches the first scores of every new champion.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the service.
    model : ModelInService
        The model in service, which follows the registry's champion.
    data_folder : Path
        Of the service.
    """

    def __init__(self, engine: sa.Engine, model: ModelInService, data_folder: Path) -> None:
        self._engine = engine
        self._model = model
        self._data_folder = data_folder
        self._trial: _Trial | None = None
        self._cursor: int | None = None

    def watch(self, seconds: float, stopping: threading.Event) -> None:
        """Look again and again, until told to stop; what cannot be reached is waited for."""
        told = ""
        while not stopping.wait(seconds):
            try:
                self.look()
                told = ""
            # Whatever it is, the watch goes on, and it is told once.
            except Exception as error:
                if told != str(error):
                    _log.exception("first scores not looked at")
                told = str(error)

    def look(self) -> bool:
        """Read what came on record since the last look, and judge.

        Returns
        -------
        bool
            Whether the champion was taken back.

        Raises
        ------
        ModelsError
            When the registry cannot be reached.
        sqlalchemy.exc.SQLAlchemyError
            When the database cannot.
        """
        if self._cursor is None:
            self._cursor = max(0, self._end() - _LOOK_BACK)
        source = self._model.served.source
        if self._trial is None or self._trial.source != source:
            self._trial = self._begun(source)
        trial = self._trial
        if trial.decided:
            return self._taken_back(trial)
        if trial.over:
            self._cursor = self._end()
            return False
        if not self._collect(trial) or len(trial.rates) < _LEAST_LOANS:
            return False
        assert trial.expected is not None
        own = {loan: rate for loan, (_, rate) in trial.rates.items()}
        leaving = trial.leaving(own, trial.expected)
        why = self._fault_of_the_model(trial, leaving) if leaving else None
        if why is not None:
            decided_here = decide(
                self._engine, trial.lineage, why, len(trial.rates), trial.valuations
            )
            trial.decided = True
            # Who did not decide looks again: it is most likely done by then.
            return decided_here and self._taken_back(trial)
        if len(trial.rates) >= _ENOUGH_LOANS:
            if not leaving:
                self._end_well(trial)
            # Loans that say nothing of the model make room for others.
            trial.rates.clear()
            trial.valuations.clear()
        return False

    def _begun(self, source: str) -> _Trial:
        registry, store = registry_in_service()
        reference = named_model(source)
        assert isinstance(reference, ModelReference)
        lineage = registry.show(store, reference)
        told = registry.tag(store, reference, TAG)
        seen = registry.tag(store, reference, SEEN) == lineage.of.promoted_at
        expected = None if told is None else ExpectedScores.model_validate_json(told)
        over = seen or expected is None or CHAMPION not in lineage.of.aliases
        trial = _Trial(source, reference, lineage, expected, over)
        trial.decided = audit.find(self._engine, decision_id(lineage)) is not None
        return trial

    def _taken_back(self, trial: _Trial) -> bool:
        taken = carry_out(trial.lineage)
        self._model.refresh()
        return taken

    def _end(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(CHAIN.c.sequence)).scalar_one())

    def _collect(self, trial: _Trial) -> bool:
        """Take in the loans that came on record; whether there were any."""
        before = len(trial.rates)
        while len(trial.rates) < _ENOUGH_LOANS:
            query = (
                sa.select(VALUATIONS)
                .where(VALUATIONS.c.sequence > self._cursor)
                .order_by(VALUATIONS.c.sequence)
                .limit(_AT_A_TIME)
            )
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
            for row in rows:
                self._take(trial, row)
                self._cursor = row.sequence
            if len(rows) < _AT_A_TIME:
                break
        return len(trial.rates) > before

    def _take(self, trial: _Trial, row: sa.Row[Any]) -> None:
        entry = json.loads(row.entry)
        if entry.get("kind") not in KINDS or entry["model_source"] != trial.source:
            return
        corrected = entry["correction"] is not None and entry["correction"]["in_force"]
        # Of an earlier promotion of the same version; or not the model's own rates.
        if entry["made_at"] < trial.lineage.of.promoted_at or corrected:
            return
        try:
            valuation = recorded_valuation(row, self._data_folder)
        except ConflictError as error:
            _log.warning("first scores", valuation=row.id, error=error.detail)
            return
        if valuation is None:
            return
        assert trial.expected is not None
        loans = valuation.forecasts.filter(
            pl.col("asset_class").is_in(list(trial.expected.by_class)),
            pl.col("recovery_rate").is_finite(),
        )
        some = loans.gather_every(max(1, loans.height // _ENOUGH_LOANS))
        for loan, name, rate in some.select("loan_id", "asset_class", "recovery_rate").iter_rows():
            trial.rates.setdefault(loan, (name, rate))
        if some.height:
            trial.valuations.append(row.id)

    def _fault_of_the_model(self, trial: _Trial, leaving: dict[str, str]) -> str | None:
        """Why a class leaves its range; None where the former champion's rates leave it too."""
        if not trial.lineage.former_champions:
            _log.error("first scores left their range, with no champion to go back to",
                       source=trial.source, why=list(leaving.values()))  # fmt: skip
            trial.over = True
            return None
        registry, store = registry_in_service()
        former = registry.load(store, former_champion(trial.lineage))
        rates: dict[str, float] = {}
        for valuation_id in trial.valuations:
            row = audit.find(self._engine, valuation_id)
            if row is not None:
                rates |= _rates_by(former, row, self._data_folder)
        told = registry.tag(store, former_champion(trial.lineage), TAG)
        assert trial.expected is not None
        also = trial.leaving(rates, trial.expected)
        if told is not None:
            # What was expected of it may be old: by both it must lie where it should.
            also |= trial.leaving(rates, ExpectedScores.model_validate_json(told))
        for name, why in leaving.items():
            if name not in also:
                return why
        _log.warning("loans unlike those of a promotion", source=trial.source, why=leaving,
                     former=also)  # fmt: skip
        return None

    @staticmethod
    def _end_well(trial: _Trial) -> None:
        registry, store = registry_in_service()
        registry.set_tag(store, trial.reference, SEEN, trial.lineage.of.promoted_at)
        trial.over = True
        _log.info("first scores as expected", source=trial.source, loans=len(trial.rates))


def _rates_by(bundle: Bundle, row: sa.Row[Any], data_folder: Path) -> dict[str, float]:
    """Rates that another model gives the loans of a valuation, by their hashes."""
    entry = json.loads(row.entry)
    parameters = entry["parameters"]
    if entry["kind"] != PACKAGE:
        return answered_rates(replayed(row.input, parameters, bundle, None, row.id))
    kept = PackageFolder(data_folder, entry["package_id"]).kept(entry["attempt"])
    day = parameters["cut_off_date"]
    scores = score_loans(
        bundle.model,
        pl.scan_parquet(kept / TAPE),
        pl.scan_parquet(kept / LEDGER),
        cut_off_date=None if day is None else date.fromisoformat(day),
    )
    told = scores.drop_nulls("recovery_rate").select("loan_id", "recovery_rate")
    return dict(told.iter_rows())
