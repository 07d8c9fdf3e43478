"""Features that know too much: their power alone, and what they add, out of time."""

from dataclasses import dataclass
from typing import Final

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

Array = NDArray[np.float64]
# Models of loss on bank workouts reach an average R2 of 0.04 to 0.43 (Loterman et al. 2012); above
# this one suspects leakage first.
YARDSTICK_POWER: Final = 0.6
# The strongest honest feature of two simulated and three public portfolios reaches 0.51: a cap on
# what can be lost, by contract.
MOST_ALONE_POWER: Final = 0.55
# Beyond what the other features tell no field's absence reached 0.011 there; alone that of
# collateral reached 0.23, since loans without any state none.
MOST_MISSING_POWER: Final = 0.05
# Leaving one honest feature out costs less than this.
_MOST_ADDED_POWER: Final = 0.1
_DEPTH: Final = 3
_LEAST_LEAF: Final = 30
# Prior weight of the mean in the code of a category, in loans.
_PRIOR_LOANS: Final = 20.0
_TRIED: Final = 5
_BOOSTING: Final = {
    "objective": "regression",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": _LEAST_LEAF,
    "verbosity": -1,
    "num_threads": 1,
    "seed": 1,
    "deterministic": True,
}
_ROUNDS: Final = 80
# A leak that this many loans do not show is none; drawn evenly over the rows.
_MOST_LOANS: Final = 20_000
# Fields that are absent together stand for one another.
_ALIKE: Final = 0.9


@dataclass(frozen=True)
class FeaturePower:
    """What one feature tells of the outcome.

    Power is the squared correlation of a forecast with the outcomes of later loans: R2 but for the
    level, which moves from vintage to vintage and is no matter of leaks.

    Attributes
    ----------
    feature : str
        Its name.
    alone : float
        Power of a small tree on it alone.
    missing : float
        Power of whether it is missing, beyond what the other features tell: a field filled in after
        the event tells by being filled in.
    suspicion : str, optional
        Why it looks like a leak; missing where it does not.
    """

    feature: str
    alone: float
    missing: float
    suspicion: str | None


def find_leaks(
    features: pl.DataFrame, rate: Array, judged: NDArray[np.bool_]
) -> list[FeaturePower]:
    """Score each feature's power out of time, and name those that know too much.

    Suspected are: a feature that alone exceeds `MOST_ALONE_POWER`; one whose absence exceeds
    `MOST_MISSING_POWER` beyond the features that are not absent with it; and, where all features
    together exceed `YARDSTICK_POWER`, one of the strongest without which they no longer do, if it
    adds a tenth. A suspicion is a question to the owner of the field, when it is filled in, and no
    proof.

    Parameters
    ----------
    features : polars.DataFrame
        Features of loans with a known outcome, without identifiers; categories as Enum or text.
    rate : array, shape (loans,)
        Realised rates.
    judged : array of bool, shape (loans,)
        The later loans, to judge on; the others are learnt from.

    Returns
    -------
    list of FeaturePower
        The strongest first.

    Raises
    ------
    ValueError
        When either side has fewer than 100 loans, or the rates judged are all one.
    """
    if min(judged.sum(), (~judged).sum()) < 100 or np.ptp(rate[judged]) == 0:
        raise ValueError(
            f"a search for leaks needs 100 loans with outcomes on both sides; got"
            f" {(~judged).sum()} to learn from and {judged.sum()} to judge on"
        )
    step = -(-len(rate) // _MOST_LOANS)
    features, rate, judged = features.gather_every(step), rate[::step], judged[::step]
    matrix = np.column_stack([_coded(features[n], rate, judged) for n in features.columns])
    alone = np.array(
        [_tree_power(matrix[:, [place]], rate, judged) for place in range(matrix.shape[1])]
    )
    missing = _missing_powers(matrix, rate, judged)
    needed = _needed(matrix, rate, judged, np.argsort(-alone, kind="stable")[:_TRIED])
    powers = [
        FeaturePower(
            name,
            float(alone[place]),
            float(missing[place]),
            _suspicion(float(alone[place]), float(missing[place])) or needed.get(place),
        )
        for place, name in enumerate(features.columns)
    ]
    return sorted(powers, key=lambda power: (-max(power.alone, power.missing), power.feature))


def _suspicion(alone: float, missing: float) -> str | None:
    if alone > MOST_ALONE_POWER:
        return (
            f"alone it has a power of {alone:.2f}; above {MOST_ALONE_POWER} is too good to be true"
        )
    if missing > MOST_MISSING_POWER:
        return (
            f"whether it is filled in has a power of {missing:.2f} beyond all other features; above"
            f" {MOST_MISSING_POWER} it looks filled in after the event"
        )
    return None


def _missing_powers(matrix: Array, rate: Array, judged: NDArray[np.bool_]) -> Array:
    """Power of each feature's absence for what the features not absent with it leave open."""
    absent = np.isnan(matrix).astype(np.float64)
    powers = np.zeros(matrix.shape[1])
    patterns: dict[bytes, list[int]] = {}
    for place, column in enumerate(absent.T):
        # Where it tells little even alone, what the others tell of it is no matter.
        if (
            0 < column[judged].mean() < 1
            and _power(rate[judged], column[judged]) > MOST_MISSING_POWER
        ):
            patterns.setdefault(column.tobytes(), []).append(place)
    for places in patterns.values():
        column = absent[:, places[0]]
        apart = [n for n in range(matrix.shape[1]) if not _alike(column, absent[:, n])]
        rest = rate[judged] - _boosted(matrix[:, apart], rate, judged)
        powers[places] = _power(rest, column[judged])
    return powers


def _alike(first: Array, second: Array) -> bool:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return False
    return abs(float(np.corrcoef(first, second)[0, 1])) > _ALIKE


def _needed(
    matrix: Array, rate: Array, judged: NDArray[np.bool_], tried: NDArray[np.intp]
) -> dict[int, str]:
    """Features without which a whole beyond the yardstick is within it, with the reason."""
    together = _power(rate[judged], _boosted(matrix, rate, judged))
    if together <= YARDSTICK_POWER:
        return {}
    found = {}
    for place in map(int, tried):
        without = _power(rate[judged], _boosted(np.delete(matrix, place, axis=1), rate, judged))
        if without <= min(YARDSTICK_POWER, together - _MOST_ADDED_POWER):
            found[place] = (
                f"all features have a power of {together:.2f}, without it {without:.2f}; above"
                f" {YARDSTICK_POWER} is beyond what workouts allow"
            )
    return found


def _coded(values: pl.Series, rate: Array, judged: NDArray[np.bool_]) -> Array:
    """Numbers as they are; a category as the shrunken mean rate of its loans to learn from."""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    text = values.cast(pl.String)
    learnt = pl.DataFrame({"level": text, "rate": rate}).filter(pl.Series(~judged))
    mean = float(np.mean(rate[~judged]))
    codes = learnt.group_by("level").agg(
        code=(pl.col("rate").sum() + _PRIOR_LOANS * mean) / (pl.len() + _PRIOR_LOANS)
    )
    coded = text.replace_strict(
        codes["level"], codes["code"], default=mean, return_dtype=pl.Float64
    )
    return coded.set(text.is_null(), None).fill_null(float("nan")).to_numpy().copy()


def _tree_power(matrix: Array, rate: Array, judged: NDArray[np.bool_]) -> float:
    tree = DecisionTreeRegressor(max_depth=_DEPTH, min_samples_leaf=_LEAST_LEAF, random_state=0)
    tree.fit(matrix[~judged], rate[~judged])
    return _power(rate[judged], tree.predict(matrix[judged]))


def _boosted(matrix: Array, rate: Array, judged: NDArray[np.bool_]) -> Array:
    data = lgb.Dataset(matrix[~judged], label=rate[~judged])
    return np.asarray(lgb.train(dict(_BOOSTING), data, _ROUNDS).predict(matrix[judged]))


def _power(actual: Array, forecast: Array) -> float:
    if np.ptp(actual) == 0 or np.ptp(forecast) == 0:
        return 0.0
    return float(np.corrcoef(actual, forecast)[0, 1]) ** 2
