"""The first scores of a new champion: where they leave their expected range, it is taken back.

What is read is the record, after the answers were given: so the scores of every process and
worker count, and none waits. Before anything is taken back the former champion scores the same
loans: where its rates leave their range too, the loans are unlike those of a promotion, and no
model is at fault. Of loans that it cannot score the range decides alone.
"""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa
import structlog

from features.portfolio import ExtraField
from models.first_scores import TAG, ExpectedScores, leaves_range
from models.reference import CHAMPION, ModelReference, named_model
from models.registered import Lineage
from service import audit
from service.errors import ConflictError
from service.kept_forecasts import KINDS, recorded_valuation
from service.middleware import WATCH_TROUBLED
from service.second_opinion import SecondOpinion
from service.served import ModelInService, Served
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
# What fails may fetch a model each time: it is tried again ever more seldom.
_LONGEST_PAUSE_SECONDS: Final = 300.0

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
    extra_fields : tuple of ExtraField
        What the version reads beside the schema's fields.
    expected : ExpectedScores, optional
        Where its scores should lie; None where nobody said, or nobody promoted it.
    over : bool
        Nothing more is looked at.
    decided : bool
        The decision to take it back stands on record.
    rates : dict
        Class and rate of each loan by its hash.
    valuations : list of str
        Where each was first seen.
    judged : int
        Loans that were judged already.
    former : SecondOpinion, optional
        The former champion, once it was asked.
    """

    source: str
    reference: ModelReference
    lineage: Lineage
    extra_fields: tuple[ExtraField, ...]
    expected: ExpectedScores | None
    over: bool
    decided: bool = False
    rates: dict[str, tuple[str, float]] = field(default_factory=dict)
    valuations: list[str] = field(default_factory=list)
    judged: int = 0
    former: SecondOpinion | None = None

    def add(self, valuation_id: str, loans: pl.DataFrame) -> None:
        """Take note of the loans of a valuation that were not seen before."""
        told = loans.select("loan_id", "asset_class", "recovery_rate").iter_rows()
        fresh = {loan: (name, rate) for loan, name, rate in told if loan not in self.rates}
        if fresh:
            self.rates |= fresh
            self.valuations.append(valuation_id)

    def forget(self) -> None:
        """Let go of all loans."""
        self.rates.clear()
        self.valuations.clear()
        self.judged = 0
        if self.former is not None:
            self.former.forget()

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

    def watches(self, source: str) -> bool:
        """Whether it is known where the first scores of this version should lie."""
        trial = self._trial
        return trial is not None and trial.source == source and trial.expected is not None

    def watch(self, seconds: float, stopping: threading.Event) -> None:
        """Look again and again, until told to stop; what cannot be reached is waited for."""
        told, pause = "", seconds
        while not stopping.wait(pause):
            try:
                self.look()
                told, pause = "", seconds
            # Whatever it is, the watch goes on, and it is told once.
            except Exception as error:
                if told != str(error):
                    _log.exception("first scores not looked at")
                told, pause = str(error), max(seconds, min(2 * pause, _LONGEST_PAUSE_SECONDS))
            WATCH_TROUBLED.set(1 if told else 0)

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
        served = self._model.served
        if self._trial is None or self._trial.source != served.source:
            self._trial = self._begun(served)
        trial = self._trial
        if trial.decided:
            return self._taken_back(trial)
        if trial.over:
            self._cursor = self._end()
            return False
        self._collect(trial)
        # What could not be judged is judged again, whether or not more came.
        if len(trial.rates) < _LEAST_LOANS or len(trial.rates) == trial.judged:
            return False
        assert trial.expected is not None
        own = {loan: rate for loan, (_, rate) in trial.rates.items()}
        leaving = trial.leaving(own, trial.expected)
        why = self._fault_of_the_model(trial, leaving) if leaving else None
        trial.judged = len(trial.rates)
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
            trial.forget()
        return False

    def _begun(self, served: Served) -> _Trial:
        registry, store = registry_in_service()
        reference = named_model(served.source)
        assert isinstance(reference, ModelReference)
        lineage = registry.show(store, reference)
        told = registry.tag(store, reference, TAG)
        promoted_at = lineage.of.promoted_at
        expected = None
        if told is not None and promoted_at:
            expected = ExpectedScores.model_validate_json(told)
        else:
            _log.warning("champion is not watched", source=served.source,
                         expected_scores=told is not None, promoted_at=promoted_at)  # fmt: skip
        seen = registry.tag(store, reference, SEEN) == promoted_at
        over = seen or expected is None or CHAMPION not in lineage.of.aliases
        extra_fields = served.bundle.model.spec.extra_fields
        trial = _Trial(served.source, reference, lineage, extra_fields, expected, over)
        # A decision is of one promotion: of a champion that bears none there can be no true one.
        decided = promoted_at and audit.find(self._engine, decision_id(lineage)) is not None
        trial.decided = bool(decided)
        return trial

    def _taken_back(self, trial: _Trial) -> bool:
        taken = carry_out(trial.lineage)
        # Promoted again it bears another time, and is looked at anew.
        self._trial = None
        self._model.refresh()
        return taken

    def _end(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(CHAIN.c.sequence)).scalar_one())

    def _collect(self, trial: _Trial) -> None:
        """Take in the loans that came on record."""
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
        trial.add(row.id, loans.gather_every(max(1, loans.height // _ENOUGH_LOANS)))

    def _fault_of_the_model(self, trial: _Trial, leaving: dict[str, str]) -> str | None:
        """Why a class leaves its range; None where the former champion's rates leave it too."""
        if not trial.lineage.former_champions:
            _log.error("first scores left their range, with no champion to go back to",
                       source=trial.source, why=list(leaving.values()))  # fmt: skip
            trial.over = True
            return None
        if trial.former is None:
            former = former_champion(trial.lineage)
            trial.former = SecondOpinion(
                self._engine, self._data_folder, former, trial.extra_fields
            )
        rates = trial.former.rates(trial.valuations, trial.rates)
        assert trial.expected is not None
        also = trial.leaving(rates, trial.expected)
        if trial.former.expected is not None:
            # What was expected of it may be old: by both it must lie where it should.
            also |= trial.leaving(rates, trial.former.expected)
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
        trial.former = None
        _log.info("first scores as expected", source=trial.source, loans=len(trial.rates))
