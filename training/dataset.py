"""Training tables: features beside realised recoveries, as known on a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.age import CUT_OFF
from features.exposure import EAD
from features.pipeline import build_features, learn_spec
from features.portfolio import FeatureGroup, Portfolio, PortfolioMeta
from features.spec import FeatureSpec
from features.targets import realised_recovery
from models.uncertainty import VintageBy
from training.errors import TrainingError


@dataclass(frozen=True)
class TrainingSet:
    """Loans with features and outcomes, row by row the same loan.

    Attributes
    ----------
    meta : PortfolioMeta
        Description of the portfolio.
    spec : FeatureSpec
        The features' specification.
    features : polars.DataFrame
        `loan_id` and the features.
    outcomes : polars.DataFrame
        From `features.targets.realised_recovery`, with `vintage_date`.
    """

    meta: PortfolioMeta
    spec: FeatureSpec
    features: pl.DataFrame
    outcomes: pl.DataFrame

    @property
    def ead(self) -> NDArray[np.float64]:
        """Exposures, currency, shape (loans,)."""
        return self.outcomes[EAD].to_numpy()

    def rows(self, keep: pl.Series) -> "TrainingSet":
        """Return the loans where `keep` holds."""
        keep = keep.fill_null(False)
        return TrainingSet(
            self.meta, self.spec, self.features.filter(keep), self.outcomes.filter(keep)
        )

    def only(self, groups: Sequence[FeatureGroup]) -> "TrainingSet":
        """Return the same loans with the features of some factor groups alone.

        Raises
        ------
        TrainingError
            When the portfolio has no feature of a group.
        """
        absent = [group for group in groups if group not in self.spec.groups]
        if absent:
            raise TrainingError(
                f"the settings ask for the feature groups {', '.join(absent)}, of which this"
                f" portfolio has no feature; it has {', '.join(self.spec.groups)}"
            )
        names = [d.name for d in self.spec.definitions if d.group in groups]
        features = self.features.select("loan_id", *names)
        return TrainingSet(self.meta, self.spec.keep(names), features, self.outcomes)

    def by_loan(self) -> "TrainingSet":
        """Return the same loans in the order of their ids."""
        order = self.features["loan_id"].arg_sort()
        return TrainingSet(self.meta, self.spec, self.features[order], self.outcomes[order])

    def between(self, start: date | None, end: date | None) -> "TrainingSet":
        """Return the loans of vintages from `start` (included) to `end` (excluded)."""
        vintage = self.outcomes["vintage_date"]
        keep = vintage.is_not_null()
        if start is not None:
            keep &= vintage >= start
        if end is not None:
            keep &= vintage < end
        return self.rows(keep)


def training_set(
    portfolio: Portfolio,
    *,
    known_on: date | None = None,
    spec: FeatureSpec | None = None,
    vintage_by: VintageBy = "cut_off_date",
) -> TrainingSet:
    """Features and outcomes of a checked portfolio.

    Parameters
    ----------
    portfolio : Portfolio
        Checked: faulty rows are set aside already.
    known_on : datetime.date, optional
        Day whose knowledge the outcomes hold; by default all the portfolio has.
    spec : FeatureSpec, optional
        By default learnt from the portfolio.
    vintage_by : {"cut_off_date", "origination_date"}
        What a vintage is dated by.

    Raises
    ------
    TrainingError
        When the portfolio has no loans, or no vintage dates.
    """
    spec = spec or learn_spec(portfolio.tape, portfolio.ledger, portfolio.meta)
    features = build_features(portfolio.tape, portfolio.ledger, spec).collect(engine="streaming")
    outcomes = realised_recovery(portfolio, known_on).collect(engine="streaming")
    if features.is_empty():
        raise TrainingError("the portfolio has no usable loans; see 'npl check'")
    if not features["loan_id"].equals(outcomes["loan_id"]):
        raise TrainingError("features and outcomes are out of step; please report this as a fault")
    vintage = outcomes[CUT_OFF]
    if vintage_by == "origination_date":
        vintage = portfolio.tape.select("origination_date").collect()["origination_date"]
    if vintage.null_count() == len(vintage):
        raise TrainingError(f"no loan has a {vintage_by}; vintages cannot be told apart")
    return TrainingSet(
        meta=portfolio.meta,
        spec=spec,
        features=features,
        outcomes=outcomes.with_columns(vintage.alias("vintage_date")),
    )
