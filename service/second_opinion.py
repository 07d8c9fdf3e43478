"""What the former champion says of the loans that a new one has scored.

A valuation that it cannot score has no second opinion: the range of the new one decides alone.
"""

import json
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
import structlog

from features.errors import FeaturesError, SpecError
from features.portfolio import ExtraField
from models.bundle import Bundle
from models.errors import ScoringError
from models.first_scores import TAG, ExpectedScores
from models.reference import ModelReference
from models.request import refuse_other_fields
from models.scoring import score_loans
from service import audit
from service.kept_forecasts import PACKAGE, answered_rates
from service.package_folder import LEDGER, TAPE, PackageFolder
from service.recovery import replayed
from service.taking_back import registry_in_service

_log: Final = structlog.get_logger("service.second_opinion")


class SecondOpinion:
    """The former champion, who scores each valuation once.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Database of the service.
    data_folder : Path
        Of the service.
    former : ModelReference
        The former champion; fetched here.
    extra_fields : tuple of ExtraField
        Those of the new champion: what the record holds beside the schema's.

    Raises
    ------
    models.errors.ModelsError
        When the former champion cannot be fetched or used.
    """

    def __init__(
        self,
        engine: sa.Engine,
        data_folder: Path,
        former: ModelReference,
        extra_fields: tuple[ExtraField, ...],
    ) -> None:
        registry, store = registry_in_service()
        self._engine = engine
        self._data_folder = data_folder
        self._source = str(former)
        self._extra_fields = extra_fields
        self._bundle: Bundle = registry.load(store, former)
        told = registry.tag(store, former, TAG)
        self._expected = None if told is None else ExpectedScores.model_validate_json(told)
        self._asked: set[str] = set()
        self._rates: dict[str, float] = {}
        self._told = ""

    @property
    def expected(self) -> ExpectedScores | None:
        """Where its own scores should lie; None where nobody said."""
        return self._expected

    def rates(self, valuations: list[str], loans: Collection[str]) -> dict[str, float]:
        """Its rates of the loans, by their hashes, without those that it cannot score.

        Parameters
        ----------
        valuations : list of str
            Where the loans are on record; those asked for once are not scored again.
        loans : collection of str
            Hashes of the loans that matter; no other is scored of a package.
        """
        for valuation_id in valuations:
            if valuation_id in self._asked:
                continue
            row = audit.find(self._engine, valuation_id)
            if row is not None:
                for loan, rate in self._of(row, loans).items():
                    # As where the loan was seen first.
                    self._rates.setdefault(loan, rate)
            self._asked.add(valuation_id)
        return {loan: self._rates[loan] for loan in loans if loan in self._rates}

    def forget(self) -> None:
        """Let go of all loans."""
        self._asked.clear()
        self._rates.clear()

    def _of(self, row: sa.Row[Any], loans: Collection[str]) -> dict[str, float]:
        try:
            self._require_fields()
            return self._scored(row, loans)
        except (FeaturesError, ScoringError) as error:
            if self._told != str(error):
                _log.warning("former champion cannot score these loans", former=self._source,
                             valuation=row.id, error=str(error))  # fmt: skip
            self._told = str(error)
            return {}

    def _require_fields(self) -> None:
        held = {field.name for field in self._extra_fields}
        needed = (field.name for field in self._bundle.model.spec.extra_fields)
        # A stored answer tells what it lacks as empty: scored so, it would be another loan.
        absent = [name for name in needed if name not in held]
        if absent:
            raise SpecError(f"the loans on record lack the extra fields {', '.join(absent)}")
        refuse_other_fields(self._extra_fields, self._bundle)

    def _scored(self, row: sa.Row[Any], loans: Collection[str]) -> dict[str, float]:
        entry = json.loads(row.entry)
        parameters = entry["parameters"] | {"reasons": False}
        if entry["kind"] != PACKAGE:
            return answered_rates(replayed(row.input, parameters, self._bundle, None, row.id))
        kept = PackageFolder(self._data_folder, entry["package_id"]).kept(entry["attempt"])
        wanted = pl.LazyFrame({"loan_id": list(loans)}, schema={"loan_id": pl.String})
        day = parameters["cut_off_date"]
        scores = score_loans(
            self._bundle.model,
            pl.scan_parquet(kept / TAPE).join(wanted, on="loan_id", how="semi"),
            pl.scan_parquet(kept / LEDGER).join(wanted, on="loan_id", how="semi"),
            cut_off_date=None if day is None else date.fromisoformat(day),
        )
        told = scores.drop_nulls("recovery_rate").select("loan_id", "recovery_rate")
        return dict(told.iter_rows())
