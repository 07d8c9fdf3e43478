"""The features of a backtest: how stable they are, what each says alone, and which say too much."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.spec import FeatureDefinition
from training.dataset import TrainingSet
from training.evaluation import held_out, label_column
from training.validation.leakage import MOST_ALONE_POWER, FeaturePower, find_leaks
from training.validation.stability import stability

Array = NDArray[np.float64]
Places = NDArray[np.intp]
_BINS: Final = 10
_LEAST_LOANS: Final = 50
# As `training.validation.leakage.find_leaks` asks for on either side.
LEAST_JUDGED: Final = 100
SCHEMA: Final[dict[str, Any]] = {
    "feature": pl.String,
    "group": pl.String,
    "meaning_en": pl.String,
    "meaning_zh": pl.String,
    "psi": pl.Float64,
    "psi_chance_limit": pl.Float64,
    "power_r2": pl.Float64,
    "missing_power": pl.Float64,
    "filled_gap": pl.Float64,
    "leak_flag": pl.Boolean,
    "leak_reason": pl.String,
}


@dataclass(frozen=True)
class Judging:
    """Loans that the features of a fold are judged on.

    Attributes
    ----------
    train, test : TrainingSet
        Of one fold, read by the same specification.
    horizon_months : int, optional
        Of the rates; None is the ultimate.
    """

    train: TrainingSet
    test: TrainingSet
    horizon_months: int | None

    @property
    def known(self) -> int:
        """Later loans whose rate is known."""
        return known_rates(self.test, self.horizon_months)

    def tells_more_than(self, older: "Judging") -> bool:
        """Whether features are better judged on this newer fold: as late a horizon, and enough.

        What a few months have brought says little of a field that was made of the outcome.
        """
        ours, theirs = self.horizon_months, older.horizon_months
        as_late = ours is None or (theirs is not None and ours >= theirs)
        return as_late and self.known >= LEAST_JUDGED


def known_rates(data: TrainingSet, months: int | None) -> int:
    """Loans that can be judged at a horizon, as `training.evaluation.held_out` counts them."""
    known = data.outcomes[label_column(months)].is_not_null()
    if months is not None:
        known &= data.outcomes["observed_months"] >= months
    return int(known.sum())


def feature_rows(judging: Judging, latest: TrainingSet) -> pl.DataFrame:
    """Stability and power of every feature.

    Parameters
    ----------
    judging : Judging
        What each feature says is learnt on the training loans and judged on the later ones.
    latest : TrainingSet
        The newest vintages, read by the same specification.

    Returns
    -------
    polars.DataFrame
        Columns of `SCHEMA`, the strongest feature first: `psi` of the training loans against
        `latest` with what chance alone exceeds one time in twenty; `power_r2`, what the feature
        alone explains of later outcomes, and `missing_power`, what its absence adds to the others
        (`training.validation.leakage`; missing where fewer than `LEAST_JUDGED` loans are known);
        `filled_gap`, how much more often a value is there for closed than for open workouts of the
        same year, which is no flag: collateral is there for what closes sooner; `leak_flag` and its
        reason.
    """
    powers = _powers(judging)
    rows = []
    for one in judging.train.spec.definitions:
        before = judging.train.features[one.name]
        edges = _edges(before, one)
        held = stability(
            _counts(_places(before, one, edges), edges),
            _counts(_places(latest.features[one.name], one, edges), edges),
        )
        power = powers.get(one.name)
        reason = power.suspicion if power else None
        rows.append(
            {
                "feature": one.name,
                "group": one.group,
                "meaning_en": one.meaning_en,
                "meaning_zh": one.meaning_zh,
                "psi": held.psi,
                "psi_chance_limit": held.chance_limit,
                "power_r2": power.alone if power else None,
                "missing_power": power.missing if power else None,
                "filled_gap": filled_gap(judging.test, one.name),
                "leak_flag": reason is not None,
                "leak_reason": reason,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA).sort(
        "power_r2", "feature", descending=[True, False], nulls_last=True
    )


def _powers(judging: Judging) -> dict[str, FeaturePower]:
    seen, rate = held_out(judging.train, judging.horizon_months)
    judged, actual = held_out(judging.test, judging.horizon_months)
    if min(len(rate), len(actual)) < LEAST_JUDGED or np.ptp(actual) == 0:
        return {}
    features = pl.concat([seen.features, judged.features]).drop("loan_id")
    rates = np.concatenate([rate, actual])
    later = np.arange(features.height) >= len(rate)
    found = {power.feature: power for power in find_leaks(features, rates, later)}
    known = [name for name, power in found.items() if power.alone > MOST_ALONE_POWER]
    if known and len(known) < features.width:
        # What the others add to a feature that knows the outcome is what it leaves: they are judged
        # without it.
        others = find_leaks(features.drop(known), rates, later)
        found |= {power.feature: power for power in others}
    return found


def filled_gap(data: TrainingSet, name: str) -> float | None:
    """Share of values there among closed less among open workouts of the same year of cut-off.

    None where no year has `_LEAST_LOANS` of both.
    """
    by_year = (
        data.outcomes.select(
            pl.col("vintage_date").dt.year().alias("year"),
            closed=pl.col("closed_months").is_not_null(),
        )
        .with_columns(there=data.features[name].is_not_null())
        .group_by("year", "closed")
        .agg(loans=pl.len(), there=pl.col("there").mean())
    )
    closed, still = (by_year.filter(pl.col("closed") == value) for value in (True, False))
    both = closed.join(still, on="year", suffix="_open").filter(
        pl.col("loans") >= _LEAST_LOANS, pl.col("loans_open") >= _LEAST_LOANS
    )
    if both.is_empty():
        return None
    weight = both.select(pl.min_horizontal("loans", "loans_open")).to_series().to_numpy()
    return float(
        np.average(both["there"].to_numpy() - both["there_open"].to_numpy(), weights=weight)
    )


def _edges(values: pl.Series, definition: FeatureDefinition) -> Array:
    if definition.kind == "category":
        return np.arange(0.5, len(definition.levels) - 1)
    known = values.drop_nulls().to_numpy()
    if len(known) == 0:
        return np.empty(0)
    edges: Array = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
    return edges


def _places(values: pl.Series, definition: FeatureDefinition, edges: Array) -> Places:
    """Bin of each value; the last one holds the missing."""
    if definition.kind == "category":
        values = values.to_physical()
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    places = np.searchsorted(edges, numbers, side="left")
    return np.where(np.isnan(numbers), len(edges) + 1, places)


def _counts(places: Places, edges: Array) -> NDArray[np.int64]:
    return np.bincount(places, minlength=len(edges) + 2).astype(np.int64)
